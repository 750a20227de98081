// What happens to values one by one; elements.h says how threads share them.
#include "core/activation.h"
#include "cuda/kernels/codes.h"
#include "cuda/kernels/elements.h"

namespace moshi {

namespace {

using namespace gpu;

// erf to 1.2e-7 (Numerical Recipes' rational Chebyshev fit of erfc), as on the CPU.
GPU_DEVICE float error_function(float x) {
  const float z = x < 0 ? -x : x, t = 1.0f / multiply_add(0.5f, z, 1.0f);
  // The fit's range ends where erf is 1 to the last bit.
  if (z > 6) return x < 0 ? -1.0f : 1.0f;
  float p = multiply_add(0.17087277f, t, -0.82215223f);
  p = multiply_add(p, t, 1.48851587f);
  p = multiply_add(p, t, -1.13520398f);
  p = multiply_add(p, t, 0.27886807f);
  p = multiply_add(p, t, -0.18628806f);
  p = multiply_add(p, t, 0.09678418f);
  p = multiply_add(p, t, 0.37409196f);
  p = multiply_add(p, t, 1.00002368f);
  const float value = 1.0f - t * exponential(multiply_add(p, t, -1.26551223f) - z * z);
  return x < 0 ? -value : value;
}

// As core/activation.h names them; alpha is ELU's.
GPU_DEVICE float activated(Activation kind, float x, float alpha) {
  switch (kind) {
    case Activation::Elu:
      return x > 0 ? x : alpha * (exponential(x < -88 ? -88 : x) - 1.0f);
    case Activation::Gelu:
      return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
    case Activation::Silu:
      return x * sigmoid(x);
    case Activation::Relu:
      return x > 0 ? x : 0;
    case Activation::Sigmoid:
      return sigmoid(x);
    case Activation::Tanh:
      return tangent_hyperbolic(x);
    case Activation::Identity:
      return x;
  }
  return x;
}

}  // namespace

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
