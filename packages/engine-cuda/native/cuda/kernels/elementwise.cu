// What happens to values one by one; elements.h says how threads share them.
#include "cuda/kernels/activated.h"
#include "cuda/kernels/codes.h"
#include "cuda/kernels/elements.h"

namespace moshi {

using namespace gpu;

// y[i] = act(x[i]); y may be x.
GPU_KERNEL(1024) activate(Activation kind, const float* x, float* y, int64_t count, float alpha) {
  for (int64_t i = first(); i < count; i += step()) y[i] = activated(kind, x[i], alpha);
}

// y [rows, h] = act(x[:, :h]) * x[:, h:] of x [rows, 2 h]; grid (any, rows).
GPU_KERNEL(1024) gate(Activation kind, const float* x, float* y, int64_t h) {
  x += block_y() * 2 * h;
  y += block_y() * h;
  for (int64_t i = first(); i < h; i += step()) y[i] = activated(kind, x[i], 1) * x[h + i];
}

// The same as codes [rows, 32 blocks] with scales [rows, blocks] for linear layers; grid (any, rows), whole warps.
GPU_KERNEL(1024) gate_codes(Activation kind, const float* x, int64_t h, int8_t* codes, InputScale* scales) {
  const int64_t blocks = (h + 31) / 32, row = block_y();
  x += row * 2 * h;
  quantize_row([=](int i) { return activated(kind, x[i], 1) * x[h + i]; }, static_cast<int>(h),
               codes + 32 * blocks * row, scales + blocks * row, block_x() * warps() + warp(), blocks_x() * warps());
}

// x [rows, dim] += scale [dim] * update [rows, dim]; a null scale means 1; grid (any, rows).
GPU_KERNEL(1024) add_scaled(float* x, const float* update, const float* scale, int64_t dim) {
  x += block_y() * dim;
  update += block_y() * dim;
  for (int64_t i = first(); i < dim; i += step()) x[i] += scale ? scale[i] * update[i] : update[i];
}

// y [rows, dim] += bias [dim]; grid (any, rows).
GPU_KERNEL(1024) add_bias(float* y, const float* bias, int64_t dim) {
  y += block_y() * dim;
  for (int64_t i = first(); i < dim; i += step()) y[i] += bias[i];
}

// x[i] -= y[i].
GPU_KERNEL(1024) subtract(float* x, const float* y, int64_t count) {
  for (int64_t i = first(); i < count; i += step()) x[i] -= y[i];
}

}  // namespace moshi
