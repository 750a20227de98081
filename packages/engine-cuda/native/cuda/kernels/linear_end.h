// What linear layers make of their sums.
#pragma once

#include "cuda/gpu.h"
#include "cuda/kernels/activated.h"
#include "cuda/kernels/linear.h"

namespace moshi::gpu {

// Puts a sum of row `out` where it belongs, but for the activation.
template <typename Form>
GPU_DEVICE void put_sum(const Linear& a, int out, float sum, float* y) {
  float gain = Form::kRowScale ? reinterpret_cast<const float*>(a.scales)[out] : 1.0f;
  if constexpr (!Form::kCodes) {
    if (a.bias) sum += a.bias[out];
    if (a.gain) gain = a.gain[out];
  }
  *y = multiply_add(sum, gain, a.add ? *y : 0.0f);
}
// Activates what was put there.
template <typename Form>
GPU_DEVICE void activate_sum(const Linear& a, float* y) {
  if (!Form::kCodes && a.after != Activation::Identity) *y = activated(a.after, *y, a.alpha);
}

}  // namespace moshi::gpu
