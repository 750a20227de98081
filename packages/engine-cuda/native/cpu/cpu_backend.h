// The CPU backend: the readable f32 reference of the house, with its inner loops in kernels.inc.
#pragma once

#include "core/thread_pool.h"
#include "cpu/kernels.h"
#include "model/backend.h"

namespace moshi {

class CpuBackend : public Backend {
 public:
  // isa as in choose_kernels.
  explicit CpuBackend(int threads, const char* isa = nullptr) : pool_(threads), kernels_(choose_kernels(isa)) {}

  std::string name() const override { return std::string("cpu-") + kernels_.isa; }
  int threads() const { return pool_.threads(); }

  Buffer allocate(size_t floats) override;
  void copy(float* to, const float* from, size_t floats) override;
  Matrix pack(DType type, int64_t rows, int64_t cols, std::vector<char> bytes) override;
  void linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
              bool add) override;
  void embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) override;
  void norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) override;
  void activate(Activation kind, const float* x, float* y, int64_t count, float alpha) override;
  void gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) override;
  void add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) override;
  void add_bias(float* y, const float* bias, int64_t n, int64_t dim) override;
  void append(const AttentionShape& shape, int layer, float* qkv, std::span<const Row> rows) override;
  void attend(const AttentionShape& shape, int layer, const float* qkv, float* out, std::span<const Row> rows) override;
  void nearest(const Matrix& table, const float* x, int32_t* codes, int64_t n) override;

 private:
  // Splits [0, count) over the threads when the whole is worth it (about `work` multiply-adds); task(begin, end).
  void split(int64_t count, int64_t work, const std::function<void(int64_t, int64_t)>& task);

  ThreadPool pool_;
  const Kernels& kernels_;
};

// The number of threads that suits this machine: its physical cores, within the process's CPU limits.
int default_threads();

}  // namespace moshi
