// Mimi: 24 kHz audio ⇄ codes, 12.5 frames a second. Encoder and decoder keep separate states and may be reset apart.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/quantizer.h"
#include "model/seanet.h"
#include "model/transformer.h"

namespace moshi {

// One direction of the codec for one session.
struct MimiState {
  SeanetState seanet;
  TransformerState transformer;
  ConvState resample;
  void reset();
};

// Sees intermediate tensors by name, [rows, channels]; used by checks only.
using Tap = std::function<void(const char* name, const float* data, int64_t rows, int64_t channels)>;

class Mimi {
 public:
  Mimi(const Weights& weights, const MimiConfig& config);

  const MimiConfig& config() const { return config_; }
  int64_t frame_samples() const { return config_.frame_samples(); }
  const Quantizer& quantizer() const { return quantizer_; }

  // Live: the ring of the reference's streaming mode. `frames` > 0 instead gives whole-file ("one-shot") results for
  // calls of at most that many frames: the ring is made long enough that no call hides a position inside the context.
  MimiState make_encoder(int64_t frames = 0) const {
    return make_state(encoder_, encoder_transformer_, downsample_ ? downsample_->make_state() : ConvState(), frames);
  }
  MimiState make_decoder(int64_t frames = 0) const {
    return make_state(decoder_, decoder_transformer_, upsample_ ? upsample_->make_state() : ConvState(), frames);
  }

  // pcm [frames * frame_samples] → codes [frames, codebooks].
  void encode(MimiState& state, const float* pcm, int64_t frames, int codebooks, int32_t* codes,
              const Tap& tap = {}) const;
  // codes [frames, codebooks] → pcm [frames * frame_samples].
  void decode(MimiState& state, const int32_t* codes, int64_t frames, int codebooks, float* pcm,
              const Tap& tap = {}) const;

 private:
  // A transformer with projections where its width differs from the codec's.
  struct Projected {
    Transformer transformer;
    Matrix input, output;
  };
  static Projected load_transformer(const Weights& weights, const std::string& prefix, const MimiConfig& config);
  MimiState make_state(const Seanet& seanet, const Projected& transformer, ConvState resample, int64_t frames) const;
  // x [rows, dimension] in place.
  void run(const Projected& projected, TransformerState& state, float* x, int64_t rows) const;

  Backend& backend_;
  MimiConfig config_;
  KvType ring_;  // of both transformers; F16 with weights in F16: the sound stays 73 dB above the difference
  Seanet encoder_, decoder_;
  Projected encoder_transformer_, decoder_transformer_;
  Quantizer quantizer_;
  std::optional<Conv> downsample_;  // absent where the encoder's hop is a frame already
  std::optional<ConvTranspose> upsample_;
};

}  // namespace moshi
