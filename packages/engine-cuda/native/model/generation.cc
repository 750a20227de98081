#include "model/generation.h"

#include <algorithm>

#include "core/philox.h"

namespace moshi {

Generation::Generation(const Lm& lm, const SamplingOptions& options)
    : config_(lm.config()), options_(options), slots_(lm.config().max_delay() + 2), temporal_(lm.make_temporal()) {
  if (config_.generated_codebooks > 0) depth_ = lm.make_depth();
  reset();
}

void Generation::reset() {
  cache_.assign(static_cast<size_t>(config_.streams() * slots_), kUngenerated);
  offset_ = 0;
  temporal_.reset();
  recent_text_.clear();
}

void Generation::write_user(const int32_t* codes) {
  const int first = config_.generated_codebooks + 1;
  for (int k = 0; k < config_.user_codebooks(); ++k)
    cached(first + k, offset_ + config_.delays[static_cast<size_t>(first + k)]) = codes[k];
}

void Generation::read_input(int32_t* tokens) {
  for (int s = 0; s < config_.streams(); ++s) {
    // Up to and including its delay a stream has nothing real to say, so even codes given on step 0 are not read.
    const bool initial = offset_ <= config_.delays[static_cast<size_t>(s)];
    tokens[s] = initial ? static_cast<int32_t>(s == 0 ? config_.text_card : config_.card) : cached(s, offset_);
  }
}

int32_t Generation::draw_text(std::span<float> logits) {
  if (options_.repetition_penalty != 1 && options_.repetition_context > 0) {
    penalize(logits, recent_text_, options_.repetition_penalty);
  }
  const size_t pad = static_cast<size_t>(config_.text_padding);
  if (options_.pad_bonus != 0 && pad < logits.size()) logits[pad] += options_.pad_bonus;
  const int32_t token =
      sample(logits, options_.text, philox_uniform(options_.text_seed, static_cast<uint64_t>(offset_), 0));
  if (options_.repetition_context > 0) {
    recent_text_.push_back(token);
    if (recent_text_.size() > static_cast<size_t>(options_.repetition_context))
      recent_text_.erase(recent_text_.begin());
  }
  return token;
}

int32_t Generation::draw_audio(std::span<const float> logits, int codebook) const {
  return sample(
      logits, options_.audio,
      philox_uniform(options_.audio_seed, static_cast<uint64_t>(offset_), 1 + static_cast<uint32_t>(codebook)));
}

bool Generation::emitted(std::vector<int32_t>& tokens) const {
  const int64_t max_delay = config_.max_delay();
  if (offset_ <= max_delay) return false;
  tokens.resize(static_cast<size_t>(1 + config_.generated_codebooks));
  for (int s = 0; s <= config_.generated_codebooks; ++s) {
    const int64_t position = offset_ - max_delay + config_.delays[static_cast<size_t>(s)];
    tokens[static_cast<size_t>(s)] = cache_[static_cast<size_t>(s * slots_ + position % slots_)];
  }
  return true;
}

void Generation::step(const Lm& lm, std::span<Generation*> all, const std::vector<const int32_t*>& user,
                      std::vector<StepTrace>* trace) {
  const LmConfig& config = lm.config();
  const size_t n = all.size(), streams = static_cast<size_t>(config.streams()), dim = static_cast<size_t>(lm.dim());
  const size_t text_card = static_cast<size_t>(config.text_card_out), card = static_cast<size_t>(config.card);
  std::vector<int32_t> tokens(n * streams), previous(n);
  std::vector<Row> rows;
  for (size_t i = 0; i < n; ++i) {
    all[i]->write_user(user[i]);
    all[i]->read_input(&tokens[i * streams]);
    all[i]->temporal_.extend(rows, 1, config.temporal.context);
  }
  std::vector<float> hidden(n * dim), text_logits(n * text_card), logits(n * card);
  lm.temporal(tokens.data(), rows, hidden.data(), text_logits.data());
  if (trace) {
    trace->assign(n, {});
    for (size_t i = 0; i < n; ++i) {
      StepTrace& t = (*trace)[i];
      t.input.assign(&tokens[i * streams], &tokens[i * streams] + streams);
      t.hidden.assign(&hidden[i * dim], &hidden[i * dim] + dim);
      t.text_logits.assign(&text_logits[i * text_card], &text_logits[i * text_card] + text_card);
    }
  }
  for (size_t i = 0; i < n; ++i) {
    previous[i] = all[i]->draw_text({&text_logits[i * text_card], text_card});
    if (trace) (*trace)[i].text = previous[i];
    all[i]->cached(0, all[i]->offset_ + 1) = previous[i];
  }
  for (int k = 0; k < config.generated_codebooks; ++k) {
    rows.clear();
    for (size_t i = 0; i < n; ++i) {
      all[i]->depth_.position = k;
      all[i]->depth_.extend(rows, 1, 0);
    }
    lm.depth(k, previous.data(), hidden.data(), rows, logits.data());
    for (size_t i = 0; i < n; ++i) {
      previous[i] = all[i]->draw_audio({&logits[i * card], card}, k);
      all[i]->cached(1 + k, all[i]->offset_ + 1) = previous[i];
      if (trace) {
        auto& t = (*trace)[i];
        t.audio.push_back(previous[i]);
        t.audio_logits.insert(t.audio_logits.end(), &logits[i * card], &logits[i * card] + card);
      }
    }
  }
  for (Generation* one : all) ++one->offset_;
}

}  // namespace moshi
