// Where voices come from: recordings, the published .pt files (embeddings and delay cache), and this project's
// .safetensors with codes.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "model/config.h"
#include "model/voice.h"

namespace moshi {

// From a recording at the codec's rate; it is encoded when first used. Throws Error(kBadOption) on silence and on less
// than 0.4 s.
std::shared_ptr<Voice> recorded_voice(std::span<const float> pcm, const Mimi& mimi, const LmConfig& config);

// Throws Error(kBadFile) on a file that is broken and Error(kBadModel) on a voice that was made for another model.
std::shared_ptr<Voice> read_voice(const std::string& path, const LmConfig& config);

}  // namespace moshi
