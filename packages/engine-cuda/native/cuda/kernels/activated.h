// Activations of single values.
#pragma once

#include "core/activation.h"
#include "cuda/gpu.h"

namespace moshi::gpu {

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

}  // namespace moshi::gpu
