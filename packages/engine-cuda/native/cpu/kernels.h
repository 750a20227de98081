// The inner loops, compiled once per instruction set from kernels.inc and chosen at run time.
// Every output is one fixed sequence of operations, so neither batching nor threads change a bit of it.
#pragma once

#include <cstdint>

#include "core/activation.h"

namespace moshi {

// y[i, r] (+)= dot(x[i], w[r]) for rows i of x in [i0, i1) and tiles of w in [t0, t1).
struct GemmArgs {
  const char* w;  // tiles as in packed.h
  int64_t tile_bytes;
  const float* x;
  int64_t x_stride;  // between rows of x; rows may overlap
  float* y;
  int64_t y_stride;
  int64_t k, rows;
  bool add;
};
using GemmKernel = void (*)(const GemmArgs& args, int64_t i0, int64_t i1, int64_t t0, int64_t t1);

// The same with x as codes: x ≈ scale * code, block by block of 32 columns.
struct QuantArgs {
  const char* w;
  int64_t tile_bytes;
  const char* codes;      // [n, 32 * blocks], elements of Kernels::code_bytes
  const float* scales;    // [n, blocks]
  const int32_t* starts;  // [n, blocks]: -zero times the sum of the codes
  const float* sums;      // [n, blocks]: scale times the sum of the codes
  int64_t blocks;
  float* y;
  int64_t y_stride;
  int64_t rows;
  bool add;
};
using QuantKernel = void (*)(const QuantArgs& args, int64_t i0, int64_t i1, int64_t t0, int64_t t1);

// One head of one row: out = softmax(q kᵀ / √head_dim) v over positions first … last of a ring kept in pages.
struct AttendArgs {
  const float* q;           // [head_dim]
  const char* const* keys;  // by page: this head's [page, head_dim]
  const char* const* values;
  const float* const* key_scales;  // Q8, by page: [page]
  const float* const* value_scales;
  int64_t page, capacity, head_dim, first, last;
  const char* after;  // what will be read next, as a hint
  float* scores;      // [last - first + 1] scratch
  float* out;         // [head_dim]
};

struct Kernels {
  const char* isa;
  GemmKernel gemm_f32, gemm_f16, gemm_bf16;
  QuantKernel q8_0, q4_0, q4_k, i8, u8, u4;
  int code_bytes, group;
  // Added to the zero of 8-bit codes by the way they are multiplied.
  int flip;
  // x [k] as codes, blocks beyond k zeros; from block to block it is `step` blocks. zero: the code of the weights that
  // stands for 0.
  void (*quantize)(const float* x, int64_t k, int64_t blocks, int64_t step, int zero, char* codes, float* scales,
                   int32_t* starts, float* sums);
  void (*attend_f32)(const AttendArgs& args);
  void (*attend_f16)(const AttendArgs& args);
  void (*attend_q8)(const AttendArgs& args);
  // [count] floats to a ring's elements; Q8 returns the scale.
  void (*to_f16)(const float* x, int64_t count, uint16_t* out);
  float (*to_q8)(const float* x, int64_t count, int8_t* out);
  // The row of a packed F32 table [bins, dim] nearest to x, the first among equals.
  int32_t (*nearest)(const char* tiles, int64_t bins, int64_t dim, const float* x);
  void (*activate)(Activation kind, const float* x, float* y, int64_t count, float alpha);
  // y[i] = act(x[i]) * z[i].
  void (*gate)(Activation kind, const float* x, const float* z, float* y, int64_t count);
  // y = (x - mean) / √(variance + eps) * weight + bias; centred only when asked for, bias may be null.
  void (*norm)(const float* x, const float* weight, const float* bias, float eps, bool centred, float* y, int64_t dim);
  // For benches. The sum of `bytes`, a multiple of 512, read as fast as they come.
  int32_t (*read_sum)(const char* data, int64_t bytes);
  // Multiply-adds in so many rounds that wait for nothing but themselves; *value is a factor below 1, and the result.
  int64_t (*multiply_adds)(int64_t rounds, float* value);
};

extern const Kernels kKernelsBaseline;  // SSE2 on x86-64, NEON on arm64
#if defined(__x86_64__)
extern const Kernels kKernelsAvx2;        // with FMA and F16C
extern const Kernels kKernelsAvx2Vnni;    // AVX-VNNI
extern const Kernels kKernelsAvx512;      // F, BW, VL, DQ
extern const Kernels kKernelsAvx512Vnni;  // and VNNI
#elif defined(__aarch64__)
extern const Kernels kKernelsDotprod;  // and half precision
#endif

}  // namespace moshi
