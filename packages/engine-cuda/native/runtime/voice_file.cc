#include "runtime/voice_file.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "files/safetensors.h"
#include "files/torch_file.h"

namespace moshi {

namespace {

[[noreturn]] void other_model(const std::string& path, const std::string& what) {
  throw Error(kBadModel, path + " was made for another model: " + what + "; make it anew from its recording");
}

std::vector<int32_t> tokens(const std::string& path, const std::vector<int64_t>& values, int64_t limit) {
  std::vector<int32_t> out;
  out.reserve(values.size());
  for (const int64_t value : values) {
    if (value < 0 || value > limit)
      other_model(path, "its token " + std::to_string(value) + " is not one of this model's");
    out.push_back(static_cast<int32_t>(value));
  }
  return out;
}

// Any reader of named tensors: both have the same three questions.
template <typename Reader>
std::shared_ptr<Voice> stored_embeddings(const Reader& file, const std::string& path, const std::vector<int64_t>& cache,
                                         const LmConfig& config) {
  auto voice = std::make_shared<Voice>();
  const int64_t slots = config.max_delay() + 3, dim = config.temporal.dim;
  if (cache != std::vector<int64_t>{1, config.streams(), slots})
    other_model(path, "its cache is " + shape_text(cache) + ", not " + shape_text({1, config.streams(), slots}));
  voice->embeddings = file.floats("embeddings");
  if (voice->embeddings.empty() || voice->embeddings.size() % static_cast<size_t>(dim) != 0)
    other_model(path, "its embeddings are no multiple of " + std::to_string(dim) + " values");
  if (!std::all_of(voice->embeddings.begin(), voice->embeddings.end(), [](float v) { return std::isfinite(v); }))
    throw Error(kBadFile, path + " holds embeddings that are not numbers; download it again");
  voice->cache = tokens(path, file.integers("cache"), std::max(config.card, config.text_card));
  for (int64_t i = slots; i < config.streams() * slots; ++i)
    if (voice->cache[static_cast<size_t>(i)] > config.card)
      other_model(path, "its cache holds codes this model has not");
  return voice;
}

std::shared_ptr<Voice> stored_codes(const Safetensors& file, const LmConfig& config) {
  auto voice = std::make_shared<Voice>();
  const std::vector<int64_t>& shape = file.info("codes").shape;
  const int64_t own = config.own_codebooks();
  if (shape.size() != 2 || shape[0] != own || shape[1] < 1)
    other_model(file.path(), "its codes are " + shape_text(shape) + ", not [" + std::to_string(own) + ", frames]");
  const std::vector<int32_t> rows = tokens(file.path(), file.integers("codes"), config.card - 1);
  const int64_t frames = shape[1];
  voice->codes.resize(rows.size());
  for (int64_t k = 0; k < own; ++k)
    for (int64_t t = 0; t < frames; ++t)
      voice->codes[static_cast<size_t>(t * own + k)] = rows[static_cast<size_t>(k * frames + t)];
  return voice;
}

bool is_safetensors(const std::string& path) {
  const File file(path);
  if (file.size() < 9) return false;
  char start[9];
  file.read(0, start, sizeof start);
  return start[8] == '{';
}

}  // namespace

std::shared_ptr<Voice> recorded_voice(std::span<const float> pcm, const Mimi& mimi, const LmConfig& config) {
  auto voice = std::make_shared<Voice>();
  voice->encoder = std::make_unique<VoiceEncoder>(mimi, pcm, config.own_codebooks());
  return voice;
}

std::shared_ptr<Voice> read_voice(const std::string& path, const LmConfig& config) {
  if (is_safetensors(path)) {
    const Safetensors file(path);
    if (file.has("codes")) return stored_codes(file, config);
    if (!file.has("embeddings") || !file.has("cache"))
      throw Error(kBadFile, path + " is no voice: it has neither 'codes' nor 'embeddings' and 'cache'");
    return stored_embeddings(file, path, file.info("cache").shape, config);
  }
  const TorchFile file(path);
  if (!file.has("embeddings") || !file.has("cache"))
    throw Error(kBadFile, path + " is no voice: it does not hold 'embeddings' and 'cache'");
  return stored_embeddings(file, path, file.shape("cache"), config);
}

}  // namespace moshi
