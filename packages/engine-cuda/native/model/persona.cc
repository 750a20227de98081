#include "model/persona.h"

#include "core/error.h"

namespace moshi {

namespace {

// Mimi codes of silence and of a 440 Hz tone, as the reference's lm.py lists them.
constexpr int32_t kSilence[] = {948, 243, 1178, 546, 1736, 1030, 1978, 2008};
constexpr int32_t kTone[] = {430, 1268, 381, 1611, 1095, 1495, 56, 472};
constexpr int kPauseFrames = 6;  // int(0.5 s * 12.5)
constexpr const char* kTag = "<system>";

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

std::vector<StepInput> persona_steps(const LmConfig& config, const std::vector<int32_t>& text) {
  if (text.empty()) return {};
  if (config.own_codebooks() != 8 || config.user_codebooks() != 8 || config.card < 2009)
    throw Error(kBadModel, "prompts need 8 codebooks of Mimi a side; this model has others");
  std::vector<StepInput> steps(kPauseFrames, {kTone, kSilence, config.text_padding});
  for (const int32_t token : text) steps.push_back({kTone, kSilence, token});
  steps.insert(steps.end(), kPauseFrames, {kTone, kSilence, config.text_padding});
  return steps;
}

}  // namespace moshi
