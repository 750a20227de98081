// The inner loops, compiled once per instruction set from kernels.inc and chosen at run time.
// Every output is one fixed sequence of operations, so neither batching nor threads change a bit of it.
#pragma once

#include <cstdint>

namespace moshi {

struct GemmArgs {
  const void* w;  // [m, k] f32, bf16 or f16, row-major
  const float* x;
  int64_t x_stride;  // between rows of x; rows may overlap
  float* y;
  int64_t y_stride;
  int64_t k;
  bool add;
};

// y[i, j] (+)= dot(x[i], w[j]) for i in [i0, i1), j in [j0, j1).
using GemmKernel = void (*)(const GemmArgs& args, int64_t i0, int64_t i1, int64_t j0, int64_t j1);

struct AttendArgs {
  const float* q;     // [head_dim]
  const float* keys;  // this head's column of [capacity, width]
  const float* values;
  int64_t width, capacity, head_dim, first, last;  // positions seen: first … last
  float* scores;                                   // [last - first + 1] scratch
  float* out;                                      // [head_dim]
};

struct Kernels {
  const char* isa;
  GemmKernel gemm_f32, gemm_bf16, gemm_f16;
  void (*attend)(const AttendArgs& args);
  // The row of table [bins, dim] nearest to x, the first among equals.
  int32_t (*nearest)(const float* table, int64_t bins, int64_t dim, const float* x);
};

extern const Kernels kKernelsBaseline;  // SSE2 on x86-64, NEON on arm64
#if defined(__x86_64__)
extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx512;
#endif

// The best this CPU runs, or the one asked for by name ("baseline", "avx2", "avx512"); throws Error(kBadOption) when it
// cannot.
const Kernels& choose_kernels(const char* isa = nullptr);

}  // namespace moshi
