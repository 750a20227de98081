// The streaming loop around the language model: codebook delays, initial tokens, sampling. One Generation is one
// conversation; step() runs many of them through one read of the weights, and none can tell whether it was alone.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/lm.h"
#include "model/sampler.h"

namespace moshi {

inline constexpr int32_t kUngenerated = -2;

struct SamplingOptions {
  SamplingRule text{0.7f, 25, 0}, audio{0.8f, 250, 0};
  uint64_t text_seed = 0, audio_seed = 0;
  float pad_bonus = 0;           // added to the padding token's text logit: more silence when positive
  float repetition_penalty = 1;  // over the last text tokens, 1 = off
  int repetition_context = 0;
};

// What one step saw and drew; kept for checks.
struct StepTrace {
  std::vector<int32_t> input;                            // [streams]
  std::vector<float> hidden, text_logits, audio_logits;  // [dim], [text_card_out], [generated, card]
  int32_t text = 0;
  std::vector<int32_t> audio;  // [generated]
};

class Generation {
 public:
  Generation(const Lm& lm, const SamplingOptions& options);

  const SamplingOptions& options() const { return options_; }
  int64_t steps() const { return offset_; }
  void reset();

  // Tokens with the delays undone: [1 + generated], text first. False while the delays fill.
  bool emitted(std::vector<int32_t>& tokens) const;

  // One step of every conversation given; user [n][user_codebooks] holds the codes of each one's frame.
  // With `trace`, one entry a conversation is filled in.
  static void step(const Lm& lm, std::span<Generation*> conversations, const std::vector<const int32_t*>& user,
                   std::vector<StepTrace>* trace = nullptr);

 private:
  int32_t& cached(int stream, int64_t position) {
    return cache_[static_cast<size_t>(stream * slots_ + position % slots_)];
  }
  void write_user(const int32_t* codes);
  void read_input(int32_t* tokens);
  int32_t draw_text(std::span<float> logits);
  int32_t draw_audio(std::span<const float> logits, int codebook) const;

  const LmConfig& config_;
  SamplingOptions options_;
  int64_t slots_;               // columns of the delay cache
  std::vector<int32_t> cache_;  // [streams, slots]
  int64_t offset_ = 0;
  TransformerState temporal_, depth_;
  std::vector<int32_t> recent_text_;
};

}  // namespace moshi
