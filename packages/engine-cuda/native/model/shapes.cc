#include "model/shapes.h"

#include "core/error.h"

namespace moshi {

namespace {

using Use = TensorShape::Use;

class List {
 public:
  std::vector<TensorShape> tensors;

  void add(const std::string& name, std::vector<int64_t> dims, Use use) {
    tensors.push_back({name, std::move(dims), use});
  }
  void matrix(const std::string& name, int64_t rows, int64_t cols) { add(name, {rows, cols}, Use::Matrix); }
  void norm(const std::string& prefix, const std::string& kind, int64_t dim) {
    if (kind.compare(0, 3, "rms") == 0) return add(prefix + ".alpha", {1, 1, dim}, Use::Scale);
    add(prefix + ".weight", {dim}, Use::Scale);
    add(prefix + ".bias", {dim}, Use::Small);
  }
  void conv(const std::string& name, std::vector<int64_t> dims, int64_t bias) {
    add(name + ".weight", std::move(dims), Use::Kernel);
    if (bias > 0) add(name + ".bias", {bias}, Use::Small);
  }

  // widths: one a set of weights. `sets` 0: one set that has no number of its own.
  void transformer(const std::string& prefix, const TransformerConfig& config, const std::vector<int64_t>& widths,
                   int sets, bool numbered) {
    const int64_t dim = config.dim, qkv = dim + 2 * (dim / config.kv_repeat);
    const int count = std::max(1, sets);
    for (int l = 0; l < config.layers; ++l) {
      const std::string layer = prefix + ".layers." + std::to_string(l) + ".";
      norm(layer + "norm1", config.norm, dim);
      norm(layer + "norm2", config.norm, dim);
      if (numbered) {
        for (int s = 0; s < count; ++s) {
          matrix(layer + "self_attn.in_projs." + std::to_string(s) + ".weight", qkv, dim);
          matrix(layer + "self_attn.out_projs." + std::to_string(s) + ".weight", dim, dim);
        }
      } else {
        matrix(layer + "self_attn.in_proj_weight", count * qkv, dim);
        matrix(layer + "self_attn.out_proj.weight", count * dim, dim);
      }
      for (int s = 0; s < count; ++s) {
        const int64_t width = widths[widths.size() == 1 ? 0 : static_cast<size_t>(s)];
        if (config.gating == "none") {
          matrix(layer + "linear1.weight", width, dim);
          matrix(layer + "linear2.weight", dim, width);
          break;
        }
        // The width asked for counts three matrices as if they were two; where it is exactly four times the model's,
        // another rounding.
        const int64_t hidden = width == 4 * dim ? 21 * dim / 8 : 2 * width / 3;
        const std::string gate = layer + "gating." + (sets > 0 ? std::to_string(s) + "." : "");
        matrix(gate + "linear_in.weight", 2 * hidden, dim);
        matrix(gate + "linear_out.weight", dim, hidden);
      }
      if (config.layer_scale)
        for (const char* scale : {"layer_scale_1.scale", "layer_scale_2.scale"}) add(layer + scale, {dim}, Use::Small);
    }
  }
};

double number_or(const Json& config, const std::string& key, double fallback) {
  const Json* value = config.find(key);
  return value ? value->number("config: " + key) : fallback;
}

std::string number(int64_t value) {
  return std::to_string(value);
}

}  // namespace

Widths Widths::of(const Json& config) {
  if (!config.find("dim")) return {.temporal = 16896, .depth = {4224}};
  constexpr double kMost = 1 << 22;
  const auto whole = [&](double value) {
    if (!(value >= 1 && value <= kMost)) throw Error(kBadModel, "config: a feed-forward layer has an impossible width");
    return static_cast<int64_t>(value);
  };
  const double scale = number_or(config, "hidden_scale", 4);
  Widths out{.temporal = whole(scale * number_or(config, "dim", 0)), .depth = {}};
  const Json* depth = config.find("depformer_dim_feedforward");
  if (depth && depth->is_array()) {
    for (const Json& one : depth->items()) out.depth.push_back(whole(one.number("config: depformer_dim_feedforward")));
  } else if (config.find("depformer_dim")) {
    const double dim = number_or(config, "depformer_dim", 0);
    out.depth = {whole(number_or(config, "depformer_dim_feedforward", scale * dim))};
  }
  return out;
}

std::vector<TensorShape> lm_tensors(const LmConfig& config, const Widths& widths, int codebooks, bool numbered) {
  List list;
  const int64_t dim = config.temporal.dim;
  const auto embedding = [&](const std::string& name, int64_t entries, int64_t width, int64_t low_rank) {
    const int64_t cols = low_rank > 0 ? low_rank : width;
    list.add(name + ".weight", {entries, cols}, Use::Table);
    if (low_rank > 0) list.matrix(name + ".low_rank.weight", width, low_rank);
    if (config.norm_embeddings) list.norm(name + ".norm", "layer_norm", cols);
  };
  const auto head = [&](const std::string& name, int64_t out, int64_t in) {
    list.matrix(name + ".weight", out, in);
    if (config.bias_projections) list.add(name + ".bias", {out}, Use::Small);
  };

  embedding("text_emb", config.text_card + 1, dim, 0);
  for (int k = 0; k < config.audio_codebooks; ++k) embedding("emb." + number(k), config.card + 1, dim, 0);
  list.transformer("transformer", config.temporal, {widths.temporal}, 0, numbered);
  list.norm("out_norm", config.temporal.norm, dim);
  head("text_linear", config.text_card_out, dim);
  for (int i = 0; i < config.extra_heads; ++i)
    list.matrix("extra_heads." + number(i) + ".weight", config.extra_heads_dim, dim);
  if (codebooks == 0) return std::move(list.tensors);

  const int64_t width = config.depth.dim;
  const int sets = config.depth_weights(codebooks);
  if (widths.depth.size() != 1 && widths.depth.size() < static_cast<size_t>(sets))
    throw Error(kBadModel, "config: depformer_dim_feedforward needs one entry for each set of weights");
  list.transformer("depformer", config.depth, widths.depth, config.depth_weights_per_step ? sets : 0, numbered);
  const int inputs = !config.depth_multi_linear ? 1 : config.depth_schedule.empty() ? codebooks : sets;
  for (int i = 0; i < inputs; ++i) list.matrix("depformer_in." + number(i) + ".weight", width, dim);
  embedding("depformer_text_emb", config.text_card + 1, width, config.depth_low_rank);
  for (int k = 0; k + 1 < codebooks; ++k)
    embedding("depformer_emb." + number(k), config.card + 1, width, config.depth_low_rank);
  for (int k = 0; k < codebooks; ++k) {
    head("linears." + number(k), config.card, width);
    if (!config.depth_norm.empty()) list.norm("depformer_norms." + number(k), config.depth_norm, width);
  }
  return std::move(list.tensors);
}

std::vector<TensorShape> mimi_tensors(const MimiConfig& config, int64_t feed_forward, bool numbered) {
  List list;
  const auto& sea = config.seanet;
  const auto residuals = [&](const std::string& prefix, int& stage, int64_t channels) {
    const int64_t hidden = channels / sea.compress;
    for (int j = 0; j < sea.residual_layers; ++j) {
      const std::string block = prefix + number(stage++) + ".";
      list.conv(block + "block.1.conv.conv", {hidden, channels, sea.residual_kernel}, hidden);
      list.conv(block + "block.3.conv.conv", {channels, hidden, 1}, channels);
      if (!sea.true_skip) list.conv(block + "shortcut.conv.conv", {channels, channels, 1}, channels);
    }
  };

  // Activations are stages of their own in the numbering.
  int64_t channels = sea.filters;
  int stage = 0;
  const auto conv = [&](const std::string& prefix, int64_t out, int64_t in, int64_t kernel) {
    list.conv(prefix + number(stage++) + ".conv.conv", {out, in, kernel}, out);
  };
  conv("encoder.model.", channels, sea.channels, sea.kernel);
  for (auto ratio = sea.ratios.rbegin(); ratio != sea.ratios.rend(); ++ratio) {
    residuals("encoder.model.", stage, channels);
    ++stage;
    conv("encoder.model.", 2 * channels, channels, 2 * *ratio);
    channels *= 2;
  }
  ++stage;
  conv("encoder.model.", sea.dimension, channels, sea.last_kernel);

  stage = 0;
  conv("decoder.model.", channels, sea.dimension, sea.kernel);
  for (const int ratio : sea.ratios) {
    ++stage;
    list.conv("decoder.model." + number(stage++) + ".convtr.convtr", {channels, channels / 2, 2 * ratio}, channels / 2);
    channels /= 2;
    residuals("decoder.model.", stage, channels);
  }
  ++stage;
  conv("decoder.model.", sea.channels, channels, sea.last_kernel);

  for (const char* side : {"encoder_transformer", "decoder_transformer"}) {
    const std::string prefix = side;
    list.transformer(prefix + ".transformer", config.transformer, {feed_forward}, 0, numbered);
    const int64_t dim = config.transformer.dim;
    if (dim != config.transformer_input) list.matrix(prefix + ".input_proj.weight", dim, config.transformer_input);
    if (dim != config.transformer_output)
      list.matrix(prefix + ".output_projs.0.weight", config.transformer_output, dim);
  }

  if (config.resample() > 1) {
    const int64_t kernel = 2 * config.resample();
    list.conv("downsample.conv.conv.conv", {sea.dimension, sea.dimension, kernel}, 0);
    list.conv("upsample.convtr.convtr.convtr", {sea.dimension, 1, kernel}, 0);
  }

  const auto& rvq = config.quantizer;
  const auto chain = [&](const std::string& prefix, int count) {
    if (count == 0) return;
    list.add(prefix + "input_proj.weight", {rvq.dimension, rvq.input, 1}, Use::Matrix);
    list.add(prefix + "output_proj.weight", {rvq.output, rvq.dimension, 1}, Use::Matrix);
    for (int i = 0; i < count; ++i) {
      const std::string name = prefix + "vq.layers." + number(i) + "._codebook.";
      list.add(name + "embedding_sum", {rvq.bins, rvq.dimension}, Use::Codebook);
      list.add(name + "cluster_usage", {rvq.bins}, Use::Scale);
    }
  };
  chain("quantizer.rvq_first.", rvq.semantic);
  chain("quantizer.rvq_rest.", rvq.codebooks - rvq.semantic);
  return std::move(list.tensors);
}

}  // namespace moshi
