// The streaming loop around the language model: codebook delays, initial tokens, sampling. One Generation is one
// conversation; step() runs many of them through one read of the weights, and none can tell whether it was alone.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/device_data.h"
#include "model/lm.h"
#include "model/sampler.h"

namespace moshi {

inline constexpr int32_t kUngenerated = -2;

struct SamplingOptions {
  SamplingRule text{0.7f, 25, 0}, audio{0.8f, 250, 0};
  uint64_t text_seed = 0, audio_seed = 0;
  float pad_bonus = 0;           // the padding token is e^this times as likely: more silence when positive
  float repetition_penalty = 1;  // over the last text tokens, 1 = off
  int repetition_context = 0;
};

// What a step is given: the user's codes, and, where the model shall not choose, its own next tokens.
struct StepInput {
  const int32_t* user;           // [user_codebooks]
  const int32_t* own = nullptr;  // [own_codebooks]; PersonaPlex only
  int32_t text = kFree;          // PersonaPlex only
};

// What one step saw and drew; kept for checks. Empty when the step did not run the model.
struct StepTrace {
  std::vector<int32_t> input;                            // [streams]
  std::vector<float> hidden, text_logits, audio_logits;  // [dim], [text_card_out], [generated, card]
  int32_t text = 0;
  std::vector<int32_t> audio;  // [generated]
};

using TextLogits = std::function<std::vector<float>()>;

// May put another text token in the place of the one drawn: how text is said that is not the model's own.
class TextGuide {
 public:
  virtual ~TextGuide() = default;
  // `position` counts the places of the text stream; `logits` gives those the token was drawn from, [text_card_out],
  // and fetches them when it is called.
  virtual int32_t guide(int32_t drawn, const TextLogits& logits, int64_t position) = 0;
};

// All that a conversation remembers at one point, packed: from here another one can go on.
struct Remembered {
  std::vector<int32_t> cache;
  std::vector<uint8_t> provided;
  int64_t offset = 0, position = 0;
  KvCache::Saved ring;
  size_t bytes() const { return ring.bytes() + cache.size() * 5; }
};

class Generation {
 public:
  Generation(const Lm& lm, const SamplingOptions& options);

  const SamplingOptions& options() const { return options_; }
  int64_t steps() const { return offset_; }
  void reset();
  // For benches and rehearsals: goes on as if so many positions had been seen; what the ring holds is its first one
  // over and over.
  void come_to(Backend& backend, int64_t position);
  // Asked on every step from then on; null = nobody.
  void follow(TextGuide* guide) { guide_ = guide; }

  Remembered remember(Backend& backend) const;
  void recall(Backend& backend, const Remembered& remembered);

  // Tokens with the delays undone: [1 + generated], text first. False while the delays fill.
  bool emitted(std::vector<int32_t>& tokens) const;
  // Place on the text stream of the token that emitted() returns.
  int64_t emitted_position() const { return target() - 1 - config_.max_delay() + config_.delays[0]; }

  // One step of every conversation given, each with its own input. With `trace`, one entry a conversation is filled in.
  static void step(const Lm& lm, std::span<Generation*> conversations, std::span<const StepInput> inputs,
                   std::vector<StepTrace>* trace = nullptr);

  // Reads steps in which every token is given: many positions through one pass of the temporal transformer, nothing
  // drawn. Returns how many of the first inputs were read; 0 when the next one leaves something for the model to
  // choose.
  size_t prefill(const Lm& lm, std::span<const StepInput> inputs);
  // Reads steps whose summed embeddings [count, dim] are given, as published voices store them: one less than frames,
  // as the first frame of a conversation runs no model. Returns how many were read.
  size_t prefill_embedded(const Lm& lm, std::span<const float> embeddings);
  // Puts the delay cache [streams, slots] that was stored with such embeddings in place; what is given stays given.
  void replace_cache(std::span<const int32_t> cache);
  int64_t cache_slots() const { return slots_; }

  // For checks: the delay cache and its flags, [streams, slots], and the rings.
  const std::vector<int32_t>& cache() const { return cache_; }
  const std::vector<uint8_t>& provided() const { return provided_; }
  const TransformerState& temporal() const { return temporal_; }

 private:
  size_t at(int stream, int64_t position) const { return static_cast<size_t>(stream * slots_ + position % slots_); }
  int32_t initial(int stream) const { return static_cast<int32_t>(stream == 0 ? config_.text_card : config_.card); }
  // One step's text tokens, which settle; what the depth transformer reads of the temporal one, [running, dim].
  static const float* step_text(const Lm& lm, Working& memory, std::span<Generation* const> running,
                                std::span<StepTrace* const> traces);
  static void step_audio(const Lm& lm, Working& memory, std::span<Generation* const> running, const float* hidden,
                         std::span<StepTrace* const> traces);
  // The position this step predicts; it reads the one before. PersonaPlex stores its first frame without a step.
  int64_t target() const { return offset_ + (config_.dialect == Dialect::Moshi ? 1 : 0); }
  bool runs() const { return target() > 0; }
  void give(int stream, int64_t position, int32_t token);
  void take_input(const StepInput& input);
  void read_input(int32_t* tokens) const;
  // Keeps a drawn token unless one was given for its place; returns the one that counts.
  int32_t settle(int stream, int32_t drawn);
  // Codebooks up to the last that is not given for the target: the user's half of PersonaPlex always is.
  int codebooks_to_draw() const;
  void finish_step();
  // Positions that one pass of prefill may take.
  int64_t room() const;
  // How stream `stream` is drawn now; tokens held against the text go to the end of `recent`.
  DrawData drawing(int stream, std::vector<int32_t>& recent) const;
  void note_text(int32_t token);

  const LmConfig& config_;
  SamplingOptions options_;
  int64_t slots_;                  // columns of the delay cache
  std::vector<int32_t> cache_;     // [streams, slots]
  std::vector<uint8_t> provided_;  // [streams, slots]: given from outside, not to be overwritten
  int64_t offset_ = 0;             // steps taken
  TransformerState temporal_, depth_;
  std::vector<int32_t> recent_text_;
  TextGuide* guide_ = nullptr;
};

}  // namespace moshi
