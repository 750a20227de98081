// Norms of rows: x, y [rows, dim], weight and bias [dim]. One block a row, any dim; thread t takes columns t, t +
// threads, … Threads of a block are a multiple of 32.
#include "cuda/kernels/codes.h"

namespace moshi {

namespace {

using namespace gpu;

// Σ (x - centre)² of the row, in every thread.
GPU_DEVICE float squares(const float* x, float centre, int dim, float* scratch) {
  float sum = 0;
  for (int i = thread(); i < dim; i += threads()) sum = multiply_add(x[i] - centre, x[i] - centre, sum);
  return block_sum(sum, scratch);
}

}  // namespace

// y = x / √(mean(x²) + eps) * weight
GPU_KERNEL(1024) rms_norm(const float* x, const float* weight, float eps, float* y, int dim) {
  GPU_SHARED(float, scratch, 32);
  x += static_cast<int64_t>(block_x()) * dim;
  y += static_cast<int64_t>(block_x()) * dim;
  const float scale = inverse_root(squares(x, 0, dim, scratch) / static_cast<float>(dim) + eps);
  for (int i = thread(); i < dim; i += threads()) y[i] = x[i] * scale * weight[i];
}

// The same as codes [rows, 32 blocks] with scales [rows, blocks] for linear layers.
GPU_KERNEL(1024)
rms_norm_codes(const float* x, const float* weight, float eps, int dim, int8_t* codes, InputScale* scales) {
  GPU_SHARED(float, scratch, 32);
  const int64_t blocks = (dim + 31) / 32, row = block_x();
  x += row * dim;
  const float scale = inverse_root(squares(x, 0, dim, scratch) / static_cast<float>(dim) + eps);
  quantize_row([=](int i) { return x[i] * scale * weight[i]; }, dim, codes + 32 * blocks * row, scales + blocks * row,
               warp(), warps());
}

// y = (x - mean) / √(variance + eps) * weight + bias; bias may be null. The mean first: Σx² - (Σx)² would cancel; and
// from the first value on, lest a sum far from zero round away what differs.
GPU_KERNEL(1024) layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y, int dim) {
  GPU_SHARED(float, sums, 32);
  GPU_SHARED(float, scratch, 32);
  x += static_cast<int64_t>(block_x()) * dim;
  y += static_cast<int64_t>(block_x()) * dim;
  float sum = 0;
  for (int i = thread(); i < dim; i += threads()) sum += x[i] - x[0];
  const float mean = x[0] + block_sum(sum, sums) / static_cast<float>(dim);
  const float scale = inverse_root(squares(x, mean, dim, scratch) / static_cast<float>(dim) + eps);
  for (int i = thread(); i < dim; i += threads()) {
    const float scaled = (x[i] - mean) * scale * weight[i];
    y[i] = bias ? scaled + bias[i] : scaled;
  }
}

}  // namespace moshi
