#include "model/quantizer.h"

#include <algorithm>

#include "core/error.h"
#include "model/workspace.h"

namespace moshi {

Quantizer::Quantizer(const Weights& weights, const MimiConfig::Quantizer& config)
    : backend_(weights.backend()), config_(config) {
  semantic_ = load_chain(weights, "quantizer.rvq_first.", config.semantic);
  acoustic_ = load_chain(weights, "quantizer.rvq_rest.", config.codebooks - config.semantic);
}

Quantizer::Chain Quantizer::load_chain(const Weights& weights, const std::string& prefix, int count) const {
  Chain chain;
  const int64_t dim = config_.dimension;
  if (count == 0) return chain;
  // Published codecs project even where the sizes agree.
  if (config_.input != dim || weights.has(prefix + "input_proj.weight"))
    chain.input = weights.matrix(prefix + "input_proj.weight", dim, config_.input);
  if (config_.output != dim || weights.has(prefix + "output_proj.weight"))
    chain.output = weights.matrix(prefix + "output_proj.weight", config_.output, dim);
  for (int i = 0; i < count; ++i) {
    const std::string name = prefix + "vq.layers." + std::to_string(i) + "._codebook.";
    // Older files call the running sums of training by other names.
    const auto known = [&](const std::string& now, std::initializer_list<const char*> before) {
      for (const char* old : before)
        if (weights.has(name + old)) return name + old;
      return name + now;
    };
    std::vector<float> table = weights.vector(known("embedding_sum", {"embed_sum", "embed_avg"}), config_.bins * dim);
    const std::vector<float> usage = weights.vector(known("cluster_usage", {"cluster_size"}), config_.bins);
    for (int64_t bin = 0; bin < config_.bins; ++bin)
      for (int64_t d = 0; d < dim; ++d)
        table[static_cast<size_t>(bin * dim + d)] /= std::max(usage[static_cast<size_t>(bin)], 1e-5f);
    chain.codebooks.push_back({weights.pack(table, config_.bins, dim), i});
  }
  return chain;
}

void Quantizer::encode_chain(const Chain& chain, const float* latent, int64_t frames, int count, int32_t* codes,
                             int64_t stride) const {
  if (count == 0) return;
  const int64_t dim = config_.dimension;
  Working memory(backend_);
  float* residual = memory.floats(frames * dim);
  if (chain.input)
    backend_.linear(chain.input, latent, config_.input, residual, dim, frames, false);
  else
    backend_.copy(residual, latent, frames * dim);
  for (int q = 0; q < count; ++q) {
    const Matrix& table = chain.codebooks[static_cast<size_t>(q)].table;
    if (q + 1 < count)
      backend_.take_nearest(table, residual, codes + q, stride, frames);
    else
      backend_.nearest(table, residual, codes + q, stride, frames);
  }
}

void Quantizer::encode(const float* latent, int64_t frames, int count, int32_t* codes) const {
  const int semantic = std::min(count, config_.semantic);
  encode_chain(semantic_, latent, frames, semantic, codes, count);
  encode_chain(acoustic_, latent, frames, count - semantic, codes + semantic, count);
}

void Quantizer::decode_chain(const Chain& chain, const int32_t* codes, int64_t stride, int64_t frames, int count,
                             float* latent, bool add) const {
  const int64_t dim = config_.dimension;
  Working memory(backend_);
  float* sum = memory.floats(frames * dim);
  backend_.embed_sum(std::span(chain.codebooks).first(static_cast<size_t>(count)), codes, stride, sum, frames);
  if (chain.output) {
    backend_.linear(chain.output, sum, dim, latent, config_.output, frames, add);
  } else if (add) {
    backend_.add_scaled(latent, sum, nullptr, frames, dim);
  } else {
    backend_.copy(latent, sum, frames * dim);
  }
}

void Quantizer::check(std::span<const int32_t> codes) const {
  for (const int32_t code : codes)
    if (code < 0 || code >= config_.bins)
      throw Error(kBadOption,
                  "code " + std::to_string(code) + " is outside the codebook of " + std::to_string(config_.bins));
}

void Quantizer::decode(const int32_t* codes, int64_t frames, int count, float* latent) const {
  const int semantic = std::min(count, config_.semantic);
  decode_chain(semantic_, codes, count, frames, semantic, latent, false);
  if (count > semantic) decode_chain(acoustic_, codes + semantic, count, frames, count - semantic, latent, true);
}

std::vector<float> Quantizer::project(std::span<const float> latent, bool acoustic) const {
  const Chain& chain = acoustic ? acoustic_ : semantic_;
  if (!chain.input) return {latent.begin(), latent.end()};
  const int64_t frames = static_cast<int64_t>(latent.size()) / config_.input, dim = config_.dimension;
  Working memory(backend_);
  float* projected = memory.floats(frames * dim);
  backend_.linear(chain.input, memory.placed(latent), config_.input, projected, dim, frames, false);
  std::vector<float> out(static_cast<size_t>(frames * dim));
  backend_.read(out.data(), projected, frames * dim);
  return out;
}

}  // namespace moshi
