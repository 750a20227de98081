// Mimi: 24 kHz audio ⇄ codes, 12.5 frames a second. Encoder and decoder keep separate states and may be reset apart.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/quantizer.h"
#include "model/seanet.h"
#include "model/transformer.h"

namespace moshi {

// One direction of the codec for one session.
struct MimiState {
  Buffer memory;  // the convolutions'
  TransformerState transformer;
  bool fresh = true;
  void reset() {
    fresh = true;
    transformer.reset();
  }

  // A copy would share the memory.
  MimiState() = default;
  MimiState(MimiState&&) = default;
  MimiState& operator=(MimiState&&) = default;
};

// Sees intermediate tensors by name, [streams * rows, channels] on the host; used by checks only.
using Tap = std::function<void(const char* name, const float* data, int64_t rows, int64_t channels)>;

class Mimi {
 public:
  Mimi(const Weights& weights, const MimiConfig& config);

  const MimiConfig& config() const { return config_; }
  int64_t frame_samples() const { return config_.frame_samples(); }
  const Quantizer& quantizer() const { return quantizer_; }

  // Live: the ring of the reference's streaming mode. `frames` > 0 instead gives whole-file ("one-shot") results for
  // calls of at most that many frames: the ring is made long enough that no call hides a position inside the context.
  MimiState make_encoder(int64_t frames = 0) const { return make_state(encoder_layout_, encoder_transformer_, frames); }
  MimiState make_decoder(int64_t frames = 0) const { return make_state(decoder_layout_, decoder_transformer_, frames); }

  // pcm [states, frames * frame_samples] → codes [states, frames, codebooks], both the host's.
  void encode(std::span<MimiState* const> states, const float* pcm, int64_t frames, int codebooks, int32_t* codes,
              const Tap& tap = {}) const;
  void encode(MimiState& state, const float* pcm, int64_t frames, int codebooks, int32_t* codes,
              const Tap& tap = {}) const {
    encode(std::array{&state}, pcm, frames, codebooks, codes, tap);
  }
  // codes [states, frames, codebooks] → pcm [states, frames * frame_samples], both the host's.
  void decode(std::span<MimiState* const> states, const int32_t* codes, int64_t frames, int codebooks, float* pcm,
              const Tap& tap = {}) const;
  void decode(MimiState& state, const int32_t* codes, int64_t frames, int codebooks, float* pcm,
              const Tap& tap = {}) const {
    decode(std::array{&state}, codes, frames, codebooks, pcm, tap);
  }

 private:
  // A transformer with projections where its width differs from the codec's.
  struct Projected {
    Transformer transformer;
    Matrix input, output;
  };
  static Projected load_transformer(const Weights& weights, const std::string& prefix, const MimiConfig& config);
  MimiState make_state(const StreamLayout& layout, const Projected& transformer, int64_t frames) const;
  // x [rows, dimension] in place.
  void run(const Projected& projected, const Rows& rows, float* x) const;
  // What a call works on, laid down on the device.
  struct Call {
    std::vector<StreamData> states;
    std::vector<Row> positions;
    Streams streams;
    Rows rows;
  };
  Call begin(const Projected& projected, std::span<MimiState* const> states, int64_t frames, Working& memory) const;
  // Runs body as a program that depends on the call and on what is named.
  void run(const Call& call, std::initializer_list<const void*> places, int64_t frames, int codebooks, const Tap& tap,
           const std::function<void()>& body) const;
  void show(const Tap& tap, const char* name, const float* x, int64_t rows, int64_t channels) const;

  Backend& backend_;
  uint64_t number_ = unique_number();  // of this codec alone
  MimiConfig config_;
  KvType ring_;  // of both transformers; F16 with weights in F16: the sound stays 73 dB above the difference
  StreamLayout encoder_layout_, decoder_layout_;
  Seanet encoder_, decoder_;
  Projected encoder_transformer_, decoder_transformer_;
  Quantizer quantizer_;
  std::optional<Conv> downsample_;  // absent where the encoder's hop is a frame already
  std::optional<ConvTranspose> upsample_;
};

}  // namespace moshi
