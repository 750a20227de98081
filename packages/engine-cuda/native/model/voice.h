// A voice prompt: the recording whose voice the model takes on.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/mimi.h"

namespace moshi {

// Loudness to which recordings are brought before they are encoded, as in the reference.
inline constexpr double kVoiceLufs = -24;

// Codebooks of one side of every checkpoint that knows voices.
inline constexpr int kVoiceCodebooks = 8;

// Turns a recording into codes a few frames at a time, so that other work gets its turn in between.
class VoiceEncoder {
 public:
  // pcm: mono at the codec's rate, any level. Throws Error(kBadOption) when it is silent or shorter than 0.4 s.
  VoiceEncoder(const Mimi& mimi, std::span<const float> pcm, int codebooks);

  // Encodes at most so many frames more; true when all are in `codes`.
  bool encode(const Mimi& mimi, int64_t frames);
  int64_t frames() const { return frames_; }
  std::vector<int32_t> codes;  // [frames so far, codebooks]

 private:
  std::vector<float> pcm_;  // normalized, the last frame padded with silence
  MimiState state_;
  int codebooks_;
  int64_t frames_, done_ = 0;
};

// Either codes (perhaps still being made by the encoder) or the published form.
struct Voice {
  std::vector<int32_t> codes;             // [frames, own codebooks]
  std::unique_ptr<VoiceEncoder> encoder;  // until all codes are there
  std::vector<float> embeddings;          // [frames - 1, dim]: the model's summed input embeddings
  std::vector<int32_t> cache;             // [streams, slots]: the delay cache after them
};

}  // namespace moshi
