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
  void copy(float* to, const float* from, size_t floats) override;
  void write(float* to, const float* host, size_t floats) override { copy(to, host, floats); }
  void read(float* host, const float* from, size_t floats) override { copy(host, from, floats); }
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
  void add_sin_positions(float* x, std::span<const Row> rows, int64_t dim, float max_period, float scale) override;
  void window(const ConvWindow& shape, Past past, float* memory, const float* x, float* out) override;
  void scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                      int64_t channels) override;
  void overlap_add(const float* columns, bool past, float* memory, float* y, int64_t time, int stride, int taps,
                   int64_t channels) override;
  void append(const AttentionShape& shape, int layer, float* qkv, std::span<const Row> rows) override;
  void attend(const AttentionShape& shape, int layer, const float* qkv, float* out, std::span<const Row> rows) override;
  void nearest(const Matrix& table, const float* x, int32_t* codes, int64_t n) override;
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
    // The rotations of the rows it last saw.
    std::vector<int64_t> positions;
    std::vector<float> rotations;  // [rows, head_dim / 2, 2]
    float period = 0;
    int64_t half = 0;
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
  const float* rotations(const AttentionShape& shape, std::span<const Row> rows);

  ThreadPool pool_;
  const Kernels& kernels_;
  Inputs inputs_;
  std::vector<Work> work_;  // by worker
  std::shared_ptr<Block> block_;
};

}  // namespace moshi
