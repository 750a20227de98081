#include "model/persona.h"

#include <algorithm>
#include <span>

#include "core/error.h"

namespace moshi {

namespace {

// Mimi codes of silence and of a 440 Hz tone, as the reference's lm.py lists them.
constexpr int32_t kSilence[] = {948, 243, 1178, 546, 1736, 1030, 1978, 2008};
constexpr int32_t kTone[] = {430, 1268, 381, 1611, 1095, 1495, 56, 472};
constexpr int kPauseFrames = 6;  // int(0.5 s * 12.5)
constexpr const char* kTag = "<system>";

// As many steps as a conversation of 240 s has: a longer persona would push itself out of the model's context.
constexpr size_t kMaxSteps = 2900;

// What is done in one go, so that the other sessions get their turn in between.
constexpr size_t kPart = 32;         // steps
constexpr int64_t kEncodedPart = 4;  // frames

void check_tables(const LmConfig& config) {
  if (config.own_codebooks() != 8 || config.user_codebooks() != 8 || config.card < 2009)
    throw Error(kBadModel, "prompts need 8 codebooks of Mimi a side; this model has others");
}

}  // namespace

std::string wrap_with_system_tags(const std::string& prompt) {
  const char* kBlank = " \t\r\n\v\f";
  const size_t begin = prompt.find_first_not_of(kBlank);
  if (begin == std::string::npos) return {};
  const std::string text = prompt.substr(begin, prompt.find_last_not_of(kBlank) - begin + 1), tag = kTag;
  const bool starts = text.compare(0, tag.size(), tag) == 0;
  const bool ends = text.size() >= tag.size() && text.compare(text.size() - tag.size(), tag.size(), tag) == 0;
  return starts && ends ? text : tag + " " + text + " " + tag;
}

std::vector<StepInput> persona_steps(const LmConfig& config, const Voice* voice, const std::vector<int32_t>& text) {
  if (!voice && text.empty()) return {};
  check_tables(config);
  std::vector<StepInput> steps;
  const size_t own = static_cast<size_t>(config.own_codebooks());
  for (size_t at = 0; voice && at < voice->codes.size(); at += own)
    steps.push_back({kTone, &voice->codes[at], config.text_padding});
  steps.insert(steps.end(), kPauseFrames, {kTone, kSilence, config.text_padding});
  for (const int32_t token : text) steps.push_back({kTone, kSilence, token});
  steps.insert(steps.end(), kPauseFrames, {kTone, kSilence, config.text_padding});
  return steps;
}

PersonaReader::PersonaReader(const LmConfig& config, std::shared_ptr<Voice> voice, std::vector<int32_t> text)
    : config_(config), voice_(std::move(voice)), text_(std::move(text)) {
  if (empty()) return;
  check_tables(config);
  if (size() > kMaxSteps)
    throw Error(kBadOption, "voice and prompt take " + std::to_string(size()) + " steps together, of them the prompt " +
                                std::to_string(text_.size()) + "; shorten them to " + std::to_string(kMaxSteps));
}

size_t PersonaReader::size() const {
  if (empty()) return 0;
  size_t voice = 0;
  if (voice_ && !voice_->cache.empty())
    voice = voice_->embeddings.size() / static_cast<size_t>(config_.temporal.dim) + 1;
  else if (voice_)
    voice = voice_->encoder ? static_cast<size_t>(voice_->encoder->frames())
                            : voice_->codes.size() / static_cast<size_t>(config_.own_codebooks());
  return voice + text_.size() + 2 * kPauseFrames;
}

bool PersonaReader::read(const Lm& lm, const Mimi* mimi, Generation& generation) {
  if (empty()) return true;
  if (voice_ && voice_->encoder) {
    if (!voice_->encoder->encode(*mimi, kEncodedPart)) return false;
    voice_->codes = std::move(voice_->encoder->codes);
    voice_->encoder.reset();
    return false;
  }
  if (voice_ && embedded_ < voice_->embeddings.size()) {
    const auto rest = std::span(voice_->embeddings).subspan(embedded_);
    const size_t part = std::min(rest.size(), kPart * static_cast<size_t>(lm.dim()));
    embedded_ += generation.prefill_embedded(lm, rest.first(part)) * static_cast<size_t>(lm.dim());
    if (embedded_ == voice_->embeddings.size()) generation.replace_cache(voice_->cache);
    return false;
  }
  if (steps_.empty()) steps_ = persona_steps(config_, voice_.get(), text_);
  const auto rest = std::span(steps_).subspan(read_);
  read_ += generation.prefill(lm, rest.first(std::min(rest.size(), kPart)));
  return read_ == steps_.size();
}

void PersonaReader::restart() {
  embedded_ = read_ = 0;
}

}  // namespace moshi
