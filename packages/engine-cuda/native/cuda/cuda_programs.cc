// Programs of the CUDA backend: recorded, and their small operations gathered.
#include <utility>

#include "cuda/cuda_backend.h"
#include "model/kv_cache.h"

namespace moshi {

namespace {

// A matrix that takes longer to read than a launch takes is better off with a launch of its own.
constexpr size_t kSmallMatrix = 16 << 20;

// Another value for as long as this lives, however that ends.
struct Meanwhile {
  Meanwhile(bool& at, bool value) : at_(at), before_(std::exchange(at, value)) {}
  ~Meanwhile() { at_ = before_; }
  Meanwhile(const Meanwhile&) = delete;

 private:
  bool& at_;
  bool before_;
};

}  // namespace

void CudaBackend::program(std::span<const uint64_t> key, const std::function<void()>& body) {
  const Locked card = card_now();
  Device& device = *device_;
  if (device.wants_stages && !device.stages) device.stages.emplace(*card);
  const bool outer = device.gathers;
  const auto gather = [&] {
    const Meanwhile gathers(device.gathers, device.wants_stages && device.stages->possible());
    try {
      body();
      if (device.stages && !outer) device.stages->launch();
    } catch (...) {
      if (device.stages) device.stages->forget();
      throw;
    }
  };
  card->program(key, gather);
}

std::optional<Tuned> CudaBackend::tune(const std::function<double()>& time) {
  Device& device = *device_;
  if (!device.wants_stages) return std::nullopt;
  const auto choose = [&](bool together) {
    const Locked card = card_now();
    device.wants_stages = together;
    card->forget_programs();
  };
  Tuned out{.together = true, .together_ms = time(), .apart_ms = 0};
  if (!device.stages || !device.stages->possible()) return std::nullopt;
  choose(false);
  out.apart_ms = time();
  out.together = out.together_ms <= out.apart_ms;
  if (out.together) choose(true);
  return out;
}

bool CudaBackend::gathered(const Matrix& w, LinearStage stage, int64_t n, std::function<void()> operation) {
  if (!device_->gathers || w.bytes > kSmallMatrix) return false;
  const gpu::PackedLayout layout = gpu::packed_layout(w);
  const Linear a = gpu::linear_of(layout, w.data.get());
  stage.w = a.w;
  stage.scales = a.scales;
  stage.rows = a.rows;
  stage.cols = a.cols;
  stage.blocks = a.blocks;
  stage.chunks = a.chunks;
  stage.groups = a.groups;
  stage.split = a.split;
  stage.group_share = a.group_share;
  return device_->stages->add(layout.form, stage, n, [this, operation = std::move(operation)] {
    const Meanwhile apart(device_->gathers, false);
    operation();
  });
}

bool CudaBackend::gathered(const AttentionShape& shape, int layer, const float* qkv, const Rows& rows) {
  const KvCache& cache = *rows.host.front().cache;
  if (!device_->gathers || shape.rope || cache.type() != KvType::F32) return false;
  return device_->stages->add({.qkv = qkv,
                               .out = nullptr,
                               .rows = rows.data,
                               .layer = layer,
                               .layers = cache.layers(),
                               .heads = shape.heads,
                               .kv_heads = shape.kv_heads,
                               .head_dim = shape.head_dim,
                               .page = static_cast<int32_t>(cache.page()),
                               .capacity = static_cast<int32_t>(cache.capacity())},
                              rows.count());
}

AttendStage* CudaBackend::gathered_append(int layer, const float* qkv) {
  AttendStage* stage = device_->gathers ? device_->stages->last_attend() : nullptr;
  return stage && stage->qkv == qkv && stage->layer == layer ? stage : nullptr;
}

}  // namespace moshi
