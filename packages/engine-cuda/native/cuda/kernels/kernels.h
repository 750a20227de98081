// The kernels as functions of the host, for launch() on fibers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/activation.h"
#include "cuda/kernels/append.h"
#include "cuda/kernels/attend.h"
#include "cuda/kernels/draw.h"
#include "cuda/kernels/embed.h"
#include "cuda/kernels/gemm.h"
#include "cuda/kernels/linear.h"
#include "cuda/kernels/nearest.h"
#include "cuda/kernels/stages.h"
#include "cuda/kernels/streams.h"

namespace moshi {

void rms_norm(const float* x, const float* weight, float eps, float* y, int dim);
void rms_norm_codes(const float* x, const float* weight, float eps, int dim, int8_t* codes, InputScale* scales);
void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y, int dim);
void activate(Activation kind, const float* x, float* y, int64_t count, float alpha);
void gate(Activation kind, const float* x, float* y, int64_t h);
void gate_codes(Activation kind, const float* x, int64_t h, int8_t* codes, InputScale* scales);
void add_scaled(float* x, const float* update, const float* scale, int64_t dim);
void add_bias(float* y, const float* bias, int64_t dim);
void subtract(float* x, const float* y, int64_t count);
void embed_f32(Embed a);
void embed_f16(Embed a);
void embed_bf16(Embed a);
void embed_q8(Embed a);
void clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t dim);
void attend_f32(Attend a);
void attend_f16(Attend a);
void attend_q8(Attend a);
void attend_join(Attend a);
void append_f32(Append a);
void append_f16(Append a);
void append_q8(Append a);
void window(Window w);
void scale_channels(const float* x, const float* weight, float* out, int64_t taps, int64_t channels);
void overlap_add(OverlapAdd o);
void nearest_parts(Nearest a);
void nearest_choose(Nearest a);
void draw(const DrawData* rows, const int32_t* recent, float* logits, int32_t card, int32_t* drawn, int32_t* taken,
          uint32_t* scratch);
void quantize_rows(const float* x, int64_t x_stride, int cols, int8_t* codes, InputScale* scales);

#define MOSHI_LINEAR(Form, form)                                                              \
  void linear_##form##_1(Linear a), linear_##form##_2(Linear a), linear_##form##_3(Linear a), \
      linear_##form##_4(Linear a), linear_##form##_5(Linear a), linear_##form##_6(Linear a),  \
      linear_##form##_7(Linear a), linear_##form##_8(Linear a);
MOSHI_LINEAR_FORMS(MOSHI_LINEAR)
#undef MOSHI_LINEAR

void meet_once(gpu::GridMeeting* meeting);
#define MOSHI_STAGES(Form, form) void stages_##form(Stages all);
MOSHI_LINEAR_FORMS(MOSHI_STAGES)
#undef MOSHI_STAGES

using LinearKernel = void (*)(Linear a);

// Of a form, for n rows of x, 1 … kLinearMost.
inline LinearKernel linear_kernel(LinearForm form, int n) {
#define MOSHI_LINEAR(Form, form)                                               \
  {linear_##form##_1, linear_##form##_2, linear_##form##_3, linear_##form##_4, \
   linear_##form##_5, linear_##form##_6, linear_##form##_7, linear_##form##_8},
  static constexpr LinearKernel kKernels[][kLinearMost] = {MOSHI_LINEAR_FORMS(MOSHI_LINEAR)};
#undef MOSHI_LINEAR
  return kKernels[static_cast<size_t>(form)][n - 1];
}

#define MOSHI_GEMM(Form, form)                                                      \
  void gemm_##form##_64x64(Linear a, int n), gemm_##form##_32x128(Linear a, int n), \
      gemm_##form##_32x32(Linear a, int n);
MOSHI_LINEAR_FORMS(MOSHI_GEMM)
#undef MOSHI_GEMM
#define MOSHI_GEMM(Form, form)                                                                 \
  void gemm_##form##_mma75_64x64(Linear a, int n), gemm_##form##_mma75_32x64(Linear a, int n), \
      gemm_##form##_mma75_32x16(Linear a, int n);
MOSHI_LINEAR_CODES(MOSHI_GEMM)
#undef MOSHI_GEMM
#define MOSHI_GEMM(Form, form)                                                                  \
  void gemm_##form##_mma80_128x64(Linear a, int n), gemm_##form##_mma80_64x64(Linear a, int n), \
      gemm_##form##_mma80_32x64(Linear a, int n), gemm_##form##_mma80_32x16(Linear a, int n);
MOSHI_GEMM_MMA80(MOSHI_GEMM)
#undef MOSHI_GEMM

using GpuGemm = void (*)(Linear a, int n);

// Of a plan.
inline GpuGemm gemm_kernel(LinearForm form, const GemmPlan& plan) {
#define MOSHI_GEMM(Form, form) {gemm_##form##_64x64, gemm_##form##_32x128, gemm_##form##_32x32},
  static constexpr GpuGemm kPlain[][3] = {MOSHI_LINEAR_FORMS(MOSHI_GEMM)};
#undef MOSHI_GEMM
#define MOSHI_GEMM(Form, form) {gemm_##form##_mma75_64x64, gemm_##form##_mma75_32x64, gemm_##form##_mma75_32x16},
  static constexpr GpuGemm kMma75[][3] = {MOSHI_LINEAR_CODES(MOSHI_GEMM)};
#undef MOSHI_GEMM
#define MOSHI_GEMM(Form, form) \
  {gemm_##form##_mma80_128x64, gemm_##form##_mma80_64x64, gemm_##form##_mma80_32x64, gemm_##form##_mma80_32x16},
  static constexpr GpuGemm kMma80[][4] = {MOSHI_GEMM_MMA80(MOSHI_GEMM)};
#undef MOSHI_GEMM
  return gemm_of(form, plan, kPlain, kMma75, kMma80);
}

}  // namespace moshi
