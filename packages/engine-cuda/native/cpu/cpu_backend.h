// The CPU backend: packs weights, splits operations over threads, and leaves the inner loops to kernels.inc.
#pragma once

#include <atomic>

#include "core/cpu_topology.h"
#include "core/thread_pool.h"
#include "cpu/choose.h"
#include "model/workspace.h"

namespace moshi {

// How the inputs of quantized layers are multiplied: as floats with the exact values of the weights, or, much faster,
// rounded to 8 bits by blocks of 32.
enum class Inputs : uint8_t { Floats, Codes };

class CpuBackend : public Backend {
 public:
  // threads 0: as many as suit this machine; isa as in choose_kernels.
  explicit CpuBackend(int threads, const char* isa = nullptr, Inputs inputs = Inputs::Codes)
      : pool_(threads > 0 ? threads : suitable_threads()),
        kernels_(choose_kernels(isa)),
        inputs_(inputs),
        work_(static_cast<size_t>(pool_.threads())) {}

  std::string name() const override { return std::string("cpu-") + kernels_.isa; }
  int threads() const { return pool_.threads(); }

  Buffer allocate(size_t floats) override;
  Workspace& workspace() override { return work().workspace; }
  void copy_bytes(void* to, const void* from, size_t bytes) override;
  void write_bytes(void* to, const void* host, size_t bytes) override { copy_bytes(to, host, bytes); }
  void read_bytes(void* host, const void* from, size_t bytes) override { copy_bytes(host, from, bytes); }
  void copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows) override;
  Matrix pack(const StoredMatrix& stored) override;
  Matrix pack_table(StoredMatrix stored) override;
  void linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
              bool add) override;
  void embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) override;
  void norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) override;
  void activate(Activation kind, const float* x, float* y, int64_t count, float alpha) override;
  void gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) override;
  void add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) override;
  void add_bias(float* y, const float* bias, int64_t n, int64_t dim) override;
  void subtract(float* x, const float* y, int64_t count) override;
  void clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t n, int64_t dim) override;
  void window(const ConvWindow& shape, const Streams& streams, const float* x, float* out) override;
  void scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                      int64_t channels) override;
  void overlap_add(const ConvOverlap& shape, const Streams& streams, const float* columns, const float* bias,
                   float* y) override;
  void append(const AttentionShape& shape, int layer, float* qkv, const Rows& rows) override;
  void attend(const AttentionShape& shape, int layer, const float* qkv, float* out, const Rows& rows) override;
  void nearest(const Matrix& table, const float* x, int32_t* codes, int64_t stride, int64_t n) override;
  void draw(const DrawData* rows, const int32_t* recent, float* logits, int64_t n, int64_t card, int32_t* drawn,
            int32_t* taken) override;
  // With many conversations every thread takes one, with few they share one's work.
  void share(int64_t count, const std::function<void(int64_t begin, int64_t end)>& task) override;
  void each(int64_t count, const std::function<void(int64_t)>& task) override;

 private:
  // What one thread needs for itself.
  struct Work {
    Workspace workspace;
    std::vector<float> scores, unpacked, scales, sums;
    std::vector<char> codes;
    std::vector<int32_t> starts;
    std::vector<const char*> pages;
    std::vector<const float*> page_scales;
  };
  // Matrices too small for huge pages of their own lie side by side in blocks.
  struct Block {
    std::shared_ptr<char> memory;
    std::atomic<size_t> used = 0;
  };
  std::shared_ptr<char> weights(size_t bytes);
  Work& work() { return work_[static_cast<size_t>(ThreadPool::worker())]; }
  // Splits [0, count) over the threads when the whole is worth it (about `work` multiply-adds); task(begin, end). No
  // part but the last is cut inside of `grain`.
  template <typename Task>
  void split(int64_t count, int64_t grain, int64_t work, Task task);
  void linear_floats(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                     bool add);
  void linear_exact(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n, bool add);
  void linear_codes(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n, bool add);

  ThreadPool pool_;
  const Kernels& kernels_;
  Inputs inputs_;
  std::vector<Work> work_;  // by worker
  std::shared_ptr<Block> block_;
};

}  // namespace moshi
