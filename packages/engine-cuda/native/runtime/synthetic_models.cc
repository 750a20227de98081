#include "runtime/synthetic_models.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "cpu/packed.h"

namespace moshi {

namespace {

using Use = TensorShape::Use;

struct Known {
  const char* name;
  const char* config;  // as config.json has it; empty: the codec alone
  bool numbered;
};

// Sizes as published; keys that ask for what does not change them are left out.
constexpr Known kKnown[] = {
    {"personaplex-7b", R"({"model_type": "personaplex"})", false},
    {"moshi-7b", R"({
      "dim": 4096, "text_card": 32000, "n_q": 16, "dep_q": 8, "card": 2048, "num_heads": 32, "num_layers": 32,
      "hidden_scale": 4.125, "context": 3000, "max_period": 10000, "gating": "silu", "norm": "rms_norm_f32",
      "positional_embedding": "rope", "depformer_dim": 1024, "depformer_dim_feedforward": 4224,
      "depformer_num_heads": 16, "depformer_num_layers": 6, "depformer_multi_linear": true,
      "depformer_pos_emb": "none", "depformer_weights_per_step": true,
      "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]})",
     false},
    {"stt-1b", R"({
      "model_type": "stt", "dim": 2048, "text_card": 8000, "n_q": 32, "dep_q": 0, "card": 2048, "num_heads": 16,
      "num_layers": 16, "hidden_scale": 4, "context": 750, "max_period": 100000, "gating": "silu",
      "norm": "rms_norm_f32", "positional_embedding": "rope", "extra_heads_num_heads": 4, "extra_heads_dim": 6,
      "delays": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      "lm_gen_config": {"temp": 0, "temp_text": 0}})",
     true},
    {"stt-2.6b", R"({
      "model_type": "stt", "dim": 2048, "text_card": 4000, "n_q": 32, "dep_q": 0, "card": 2048, "num_heads": 32,
      "num_layers": 48, "hidden_scale": 4, "context": 375, "max_period": 100000, "gating": "silu",
      "norm": "rms_norm_f32", "positional_embedding": "rope",
      "delays": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      "lm_gen_config": {"temp": 0, "temp_text": 0}})",
     true},
    // Without conditioners, cross attention and the second stream of text.
    {"tts-1.6b", R"({
      "dim": 2048, "text_card": 8000, "text_card_out": 5, "n_q": 32, "dep_q": 32, "card": 2048, "num_heads": 16,
      "num_layers": 16, "hidden_scale": 4.125, "context": 500, "max_period": 10000, "gating": "silu",
      "norm": "rms_norm_f32", "positional_embedding": "rope", "depformer_dim": 1024, "depformer_dim_feedforward": 3072,
      "depformer_num_heads": 16, "depformer_num_layers": 4, "depformer_multi_linear": true,
      "depformer_pos_emb": "none", "depformer_weights_per_step": true, "depformer_low_rank_embeddings": 128,
      "depformer_weights_per_step_schedule":
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 10, 10],
      "delays": [0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]})",
     true},
    {"mimi", "", false},
    {"tiny", R"({
      "model_type": "personaplex", "dim": 256, "text_card": 96, "n_q": 16, "dep_q": 16, "card": 64, "num_heads": 4,
      "num_layers": 2, "hidden_scale": 4.125, "context": 48, "max_period": 10000, "gating": "silu",
      "norm": "rms_norm_f32", "positional_embedding": "rope", "depformer_dim": 64, "depformer_dim_feedforward": 192,
      "depformer_num_heads": 4, "depformer_num_layers": 2, "depformer_multi_linear": true,
      "depformer_pos_emb": "none", "depformer_weights_per_step": true,
      "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]})",
     false},
};

constexpr const char* kTinyMimi = R"({
  "sample_rate": 24000, "frame_rate": 12.5,
  "seanet": {"dimension": 64, "n_filters": 8, "n_residual_layers": 1, "kernel_size": 7, "residual_kernel_size": 3,
             "last_kernel_size": 3, "ratios": [8, 6, 5, 4]},
  "quantizer": {"dimension": 32, "n_q": 8, "bins": 64, "input_dimension": 64, "output_dimension": 64},
  "transformer": {"d_model": 64, "num_heads": 4, "num_layers": 2, "layer_scale": 0.01, "context": 20,
                  "positional_embedding": "rope"}})";

std::string names() {
  std::string out;
  for (const Known& one : kKnown)
    if (std::string(one.name) != "tiny") out += (out.empty() ? "" : ", ") + std::string(one.name);
  return out;
}

int64_t elements(const TensorShape& tensor) {
  int64_t count = 1;
  for (const int64_t d : tensor.dims) count *= d;
  return count;
}

int64_t columns(const TensorShape& tensor) {
  return tensor.dims.size() > 1 ? tensor.dims[1] : tensor.dims[0];
}

DType run_type(const TensorShape& tensor, Precision precision, DType stored) {
  const bool weights = tensor.use == Use::Matrix || tensor.use == Use::Table;
  return weights ? packed_type(precision, tensor.name, stored, columns(tensor)) : DType::F32;
}

// Values that keep what passes through the layers near one.
MadeTensor made(const TensorShape& tensor, DType type) {
  MadeTensor out{tensor.name, type, tensor.dims, 0, 0};
  const auto spread = [](int64_t fan) { return std::sqrt(3.0f / static_cast<float>(fan)); };
  switch (tensor.use) {
    case Use::Matrix:
      out.spread = spread(columns(tensor));
      break;
    case Use::Kernel:
      out.spread = spread(elements(tensor) / tensor.dims[0]);
      break;
    case Use::Table:
      out.spread = 0.3f;
      break;
    case Use::Scale:
      out.mean = 1;
      out.spread = 0.1f;
      break;
    case Use::Small:
      out.mean = out.spread = 0.01f;
      break;
    case Use::Codebook:
      out.spread = 1;
  }
  // Blocks that a row does not fill are left to whoever loads the file.
  const int64_t row = tensor.dims.back();
  if (row % block_elements(type) != 0) out.type = DType::BF16;
  return out;
}

}  // namespace

SyntheticModel synthetic_model(const std::string& name) {
  for (const Known& known : kKnown) {
    if (name != known.name) continue;
    SyntheticModel model{.name = "synthetic:" + name,
                         .lm = std::nullopt,
                         .widths = {},
                         .numbered = known.numbered,
                         .small = name == "tiny",
                         .mimi = MimiConfig::published()};
    if (model.small) {
      model.mimi = MimiConfig::parse(Json::parse(kTinyMimi, model.name));
      model.mimi_feed_forward = 160;
    }
    if (*known.config) {
      const Json json = Json::parse(known.config, model.name);
      model.lm = LmConfig::parse(json);
      model.widths = Widths::of(json);
      // A model that speaks alone draws every codebook, and would be taken for one that hears half of them.
      if (name == "tts-1.6b") model.lm->dialect = Dialect::Moshi;
    }
    return model;
  }
  throw Error(kBadOption, "there is no synthetic model '" + printable(name) + "', only " + names());
}

std::unique_ptr<TensorFile> synthetic_lm(const SyntheticModel& model, Precision precision) {
  std::vector<MadeTensor> tensors;
  for (const TensorShape& tensor : lm_tensors(*model.lm, model.widths, model.lm->generated_codebooks, model.numbered))
    tensors.push_back(made(tensor, run_type(tensor, precision, DType::BF16)));
  return std::make_unique<Synthetic>(model.name, tensors);
}

std::unique_ptr<TensorFile> synthetic_mimi(const SyntheticModel& model, Precision precision) {
  std::vector<MadeTensor> tensors;
  for (const TensorShape& tensor : mimi_tensors(model.mimi, model.mimi_feed_forward, model.numbered))
    tensors.push_back(made(tensor, run_type(tensor, precision, DType::F32)));
  return std::make_unique<Synthetic>(model.name, tensors);
}

PackedSize packed_size(const std::vector<TensorShape>& tensors, Precision precision) {
  PackedSize out;
  for (const TensorShape& tensor : tensors) {
    const int64_t count = elements(tensor);
    const int64_t cols = tensor.use == Use::Kernel ? count / tensor.dims[0] : columns(tensor);
    Matrix matrix;
    matrix.type = run_type(tensor, precision, DType::BF16);
    matrix.rows = count / cols;
    matrix.cols = cols;
    const int64_t block = block_elements(matrix.type);
    const auto rows =
        static_cast<uint64_t>(matrix.rows * stored_bytes(matrix.type, (cols + block - 1) / block * block));
    const bool tiles = tensor.use == Use::Matrix || tensor.use == Use::Kernel || tensor.use == Use::Codebook;
    const auto bytes = tiles ? static_cast<uint64_t>(tile_count(matrix) * tile_bytes(matrix)) : rows;
    out.all += bytes;
    out.largest = std::max(out.largest, bytes);
  }
  return out;
}

}  // namespace moshi
