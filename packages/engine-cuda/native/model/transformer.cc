#include "model/transformer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace moshi {

void TransformerState::extend(std::vector<Row>& rows, int64_t count, int64_t context) {
  const int64_t last = position + count - 1, capacity = cache.capacity();
  int64_t kept = std::max<int64_t>(0, last - capacity + 1);
  if (fork && last + 1 >= capacity) ++kept;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t q = position + i;
    const int64_t seen = context > 0 ? std::max<int64_t>(0, q - context + 1) : 0;
    rows.push_back({&cache, q, std::max(seen, kept)});
  }
  position += count;
}

Transformer::Transformer(const Weights& weights, const std::string& prefix, const TransformerConfig& config,
                         WeightSets sets)
    : backend_(weights.backend()), config_(config), gated_(config.gating != "none") {
  const int head_dim = static_cast<int>(config.dim / config.heads);
  attention_ = {config.heads,
                config.heads / config.kv_repeat,
                head_dim,
                config.positions.find("rope") != std::string::npos,
                config.positions != "rope_concat",
                config.max_period};
  activation_ = gated_ ? parse_activation(config.gating) : Activation::Gelu;
  for (int i = 0; i < config.layers; ++i) load_layer(weights, prefix + ".layers." + std::to_string(i) + ".", sets);
  // float32 throughout, like the reference: at large positions the rounding of an angle is part of the model.
  for (int i = 0; attention_.rope && i < head_dim / 2; ++i)
    frequencies_.push_back(
        std::exp(static_cast<float>(i) * (-std::log(config.max_period) * 2.0f / static_cast<float>(head_dim))));
  const bool sines = config.positions == "sin" || config.positions == "sin_rope";
  const int64_t half = config.dim / 2;
  for (int64_t i = 0; sines && i < half; ++i)
    periods_.push_back(std::pow(config.max_period, static_cast<float>(i) / static_cast<float>(half - 1)));
}

void Transformer::load_layer(const Weights& weights, const std::string& prefix, WeightSets sets) {
  Layer layer;
  const int64_t dim = config_.dim, qkv = attention_.q_width() + 2 * attention_.kv_width();
  layer.norm1 = weights.norm(prefix + "norm1", config_.norm, dim);
  layer.norm2 = weights.norm(prefix + "norm2", config_.norm, dim);
  // Published 7B files stack the sets of a projection on its rows under one name; newer ones number them.
  const auto projections = [&](const std::string& fused, const std::string& alternative, const std::string& numbered,
                               int64_t rows) {
    std::vector<Matrix> out;
    for (const std::string& name : {fused, alternative}) {
      if (!weights.has(prefix + "self_attn." + name)) continue;
      return weights.matrices(prefix + "self_attn." + name, sets.stored, sets.kept, rows, dim);
    }
    for (int i = 0; i < sets.kept; ++i)
      out.push_back(weights.matrix(prefix + "self_attn." + numbered + "." + std::to_string(i) + ".weight", rows, dim));
    return out;
  };
  layer.in_proj = projections("in_proj_weight", "in_proj.weight", "in_projs", qkv);
  layer.out_proj = projections("out_proj.weight", "out_proj_weight", "out_projs", dim);

  for (int i = 0; i < sets.kept; ++i) {
    const std::string gate =
        prefix + "gating." + (weights.has(prefix + "gating.linear_in.weight") ? "" : std::to_string(i) + ".");
    const std::string in = gated_ ? gate + "linear_in.weight" : prefix + "linear1.weight";
    const std::string out = gated_ ? gate + "linear_out.weight" : prefix + "linear2.weight";
    // The width is read off the weights: configs give it by three different rules.
    const int64_t rows = weights.size(in, 0), hidden = gated_ ? rows / 2 : rows;
    if (hidden < 1 || (gated_ && rows % 2 != 0))
      throw Error(kBadModel, weights.path() + ": tensor '" + in + "' has an odd size");
    layer.linear_in.push_back(weights.matrix(in, rows, dim));
    layer.linear_out.push_back(weights.matrix(out, dim, hidden));
    hidden_ = std::max(hidden_, hidden);
  }
  if (config_.layer_scale) {
    layer.scale1 = weights.values(prefix + "layer_scale_1.scale", dim);
    layer.scale2 = weights.values(prefix + "layer_scale_2.scale", dim);
  }
  layers_.push_back(std::move(layer));
}

TransformerState Transformer::make_state(int64_t capacity, KvType type) const {
  TransformerState state;
  state.cache = KvCache(type, config_.layers, capacity, attention_.kv_heads, attention_.head_dim);
  return state;
}

Rows Transformer::place(Working& memory, std::span<const Row> rows) const {
  std::vector<RowData> data;
  std::vector<float> rotations, sines;
  for (const Row& row : rows) {
    row.cache->reserve(backend_, row.position + 1);
    data.push_back({row.cache->table(), static_cast<int32_t>(row.first), static_cast<int32_t>(row.position)});
    for (const float frequency : frequencies_) {
      const float angle = frequency * static_cast<float>(row.position);
      rotations.push_back(std::cos(angle));
      rotations.push_back(std::sin(angle));
    }
    const auto add = [&](float (*wave)(float)) {
      for (const float period : periods_)
        sines.push_back(config_.positional_scale * wave(static_cast<float>(row.position) / period));
    };
    add([](float phase) { return std::cos(phase); });
    add([](float phase) { return std::sin(phase); });
  }
  Rows out{.host = rows,
           .data = memory.placed(std::span<const RowData>(data)),
           .rotation = static_cast<int64_t>(2 * frequencies_.size()),
           .sine = static_cast<int64_t>(2 * periods_.size())};
  if (!rotations.empty()) out.rotations = memory.placed(std::span<const float>(rotations));
  if (!sines.empty()) out.sines = memory.placed(std::span<const float>(sines));
  return out;
}

void Transformer::forward(float* x, const Rows& rows, int set) const {
  const int64_t n = rows.count(), dim = config_.dim;
  const int64_t qkv_width = attention_.q_width() + 2 * attention_.kv_width();
  Working memory(backend_);
  float* qkv = memory.floats(n * qkv_width);
  float* wide = memory.floats(n * hidden_ * (gated_ ? 2 : 1));
  if (rows.sines) backend_.add_scaled(x, rows.sines, nullptr, n, dim);

  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    const size_t s = static_cast<size_t>(set);
    backend_.linear_of_norm(layer.in_proj[s], layer.norm1, x, qkv, n);
    backend_.append(attention_, static_cast<int>(l), qkv, rows);
    backend_.add_linear_of_attention(layer.out_proj[s], attention_, static_cast<int>(l), qkv, rows, layer.scale1.data(),
                                     x);

    const Matrix& out = layer.linear_out[s];
    backend_.linear_of_norm(layer.linear_in[s], layer.norm2, x, wide, n, gated_ ? Activation::Identity : activation_);
    if (gated_)
      backend_.add_linear_of_gate(out, activation_, wide, layer.scale2.data(), x, n);
    else
      backend_.add_linear(out, wide, layer.scale2.data(), x, n);
  }
}

}  // namespace moshi
