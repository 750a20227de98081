// The kernels as functions of the host, for launch() on fibers.
#pragma once

#include "core/activation.h"
#include "cuda/kernels/attend.h"

namespace moshi {

void rms_norm(const float* x, const float* weight, float eps, float* y, int dim);
void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y, int dim);
void activate(Activation kind, const float* x, float* y, int64_t count, float alpha);
void gate(Activation kind, const float* x, float* y, int64_t h);
void add_scaled(float* x, const float* update, const float* scale, int64_t dim);
void add_bias(float* y, const float* bias, int64_t dim);
void attend_f32(Attend a);
void attend_f16(Attend a);
void attend_q8(Attend a);

}  // namespace moshi
