// A model as small as the GPU's kernels allow, with weights that are made up: every kind of layer, and widths at which
// each type of weights can be run.
#pragma once

#include <memory>
#include <vector>

#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "model/lm.h"
#include "model/mimi.h"
#include "runtime/synthetic_models.h"

namespace moshi {

// Feed-forward layers of 512 columns: Q4_K finds whole blocks, and warps share a row.
inline constexpr const char* kSmallLm = R"({
  "dim": 64, "text_card": 40, "n_q": 4, "dep_q": 2, "card": 24, "num_heads": 2, "num_layers": 2, "hidden_scale": 12,
  "context": 10, "max_period": 10000, "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope",
  "depformer_dim": 32, "depformer_dim_feedforward": 96, "depformer_num_heads": 2, "depformer_num_layers": 1,
  "depformer_multi_linear": true, "depformer_pos_emb": "none", "depformer_weights_per_step": true,
  "delays": [0, 0, 1, 0, 1]})";
inline constexpr const char* kSmallMimi = R"({
  "sample_rate": 24000, "frame_rate": 1000,
  "seanet": {"dimension": 16, "n_filters": 2, "n_residual_layers": 1, "kernel_size": 5, "residual_kernel_size": 3,
             "last_kernel_size": 3, "ratios": [4, 3]},
  "quantizer": {"dimension": 16, "n_q": 4, "bins": 24, "input_dimension": 16, "output_dimension": 16},
  "transformer": {"d_model": 16, "num_heads": 2, "num_layers": 1, "layer_scale": 0.01, "context": 10,
                  "positional_embedding": "rope"}})";

struct SmallFiles {
  explicit SmallFiles(Precision precision)
      : precision(precision), lm(synthetic_lm(model(), precision)), mimi(synthetic_mimi(model(), Precision::Stored)) {}
  static SyntheticModel model() {
    const Json config = Json::parse(kSmallLm, "small");
    return {.name = "small",
            .lm = LmConfig::parse(config),
            .widths = Widths::of(config),
            .numbered = false,
            .small = true,
            .mimi = MimiConfig::parse(Json::parse(kSmallMimi, "small codec")),
            .mimi_feed_forward = 40};
  }
  Precision precision;
  std::unique_ptr<TensorFile> lm, mimi;
};

inline Lm small_lm(const SmallFiles& files, Backend& backend, KvType ring) {
  return Lm(Weights(*files.lm, backend, {.precision = files.precision}), *SmallFiles::model().lm, false, ring);
}
inline Mimi small_mimi(const SmallFiles& files, Backend& backend) {
  return Mimi(Weights(*files.mimi, backend), SmallFiles::model().mimi);
}

// Sound of so many samples.
inline std::vector<float> tone(int64_t samples) {
  std::vector<float> out;
  for (int64_t i = 0; i < samples; ++i) out.push_back(0.3f * static_cast<float>(i * i % 97) / 97.0f - 0.15f);
  return out;
}

// A GPU made of fibers, one thread to pack weights.
inline std::unique_ptr<CudaBackend> small_gpu(std::shared_ptr<const DriverApi> driver, const std::string& kernels,
                                              bool graphs = true) {
  return std::make_unique<CudaBackend>(std::move(driver), CardOptions{.graphs = graphs, .kernels = kernels}, 1);
}

}  // namespace moshi
