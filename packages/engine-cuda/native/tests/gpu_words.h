// The kernels of gpu_words.cu as functions of the host.
#pragma once

#include <cstdint>

#include "cuda/gpu.h"

namespace moshi {

void words_of_warps(int* out);
void words_of_grids(gpu::GridMeeting* meeting, const int* in, int* out, int* sum);
void words_of_copies(const float* in, float* out, int waits);
void words_of_matrices(const uint32_t* a, const uint32_t* b, int* wide, int* narrow, float* floats);
void words_of_numbers(const float* in, float* out, uint16_t* bits);

}  // namespace moshi
