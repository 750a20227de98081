#include "model/voice.h"

#include <algorithm>

#include "core/error.h"
#include "model/loudness.h"

namespace moshi {

VoiceEncoder::VoiceEncoder(const Mimi& mimi, std::span<const float> pcm, int codebooks)
    : state_(mimi.make_encoder()), codebooks_(codebooks) {
  if (codebooks > mimi.quantizer().codebooks())
    throw Error(kBadModel, "a voice needs " + std::to_string(codebooks) + " codebooks; this codec has " +
                               std::to_string(mimi.quantizer().codebooks()));
  // Only the family of checkpoints that knows voices encodes them, and that is its ring.
  state_.transformer.fork = true;
  const std::vector<double> loud = normalize_loudness(pcm, mimi.config().sample_rate, kVoiceLufs);
  pcm_.assign(loud.begin(), loud.end());
  const auto samples = static_cast<size_t>(mimi.frame_samples());
  frames_ = static_cast<int64_t>((pcm_.size() + samples - 1) / samples);
  pcm_.resize(static_cast<size_t>(frames_) * samples, 0.0f);
}

bool VoiceEncoder::encode(const Mimi& mimi, int64_t frames) {
  const int64_t end = std::min(frames_, done_ + frames);
  codes.resize(static_cast<size_t>(end * codebooks_));
  for (; done_ < end; ++done_)
    mimi.encode(state_, &pcm_[static_cast<size_t>(done_ * mimi.frame_samples())], 1, codebooks_,
                &codes[static_cast<size_t>(done_ * codebooks_)]);
  return done_ == frames_;
}

}  // namespace moshi
