// The input of linear layers over codes: rows of floats as whole numbers -127 … 127 with a scale for each block of 32
// columns; codes [32 blocks], scales [blocks] of a row, columns beyond cols are zeros.
#pragma once

#include "cuda/gpu.h"
#include "cuda/kernels/linear.h"

namespace moshi::gpu {

// value(column) of one row, by the warps `first`, first + step, … A warp takes four blocks at a time, eight lanes one
// block, a lane four columns of it.
template <typename Value>
GPU_DEVICE void quantize_row(Value value, int cols, int8_t* codes, InputScale* scales, int first, int step) {
  const int blocks = (cols + 31) / 32;
  auto* words = reinterpret_cast<uint32_t*>(codes);
  for (int four = first; 4 * four < blocks; four += step) {
    const int block = 4 * four + lane() / 8, word = 8 * block + lane() % 8;
    float values[4], most = 0;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      values[i] = 4 * word + i < cols ? value(4 * word + i) : 0;
      const float magnitude = values[i] < 0 ? -values[i] : values[i];
      most = magnitude > most ? magnitude : most;
    }
    most = over_lanes<Max>(most, 4);
    // Below, the quotient would be infinite.
    const float inverse = most > 3.8e-37f ? 127.0f / most : 0;
    uint32_t bytes = 0, sum = 0;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      // So large a number has no room for fractions: its last bits are the code, rounded to even, and once.
      const uint32_t bits = __builtin_bit_cast(uint32_t, multiply_add(values[i], inverse, 12582912.0f));
      bytes |= (bits & 255u) << 8 * i;
      sum += bits - 0x4b400000u;
    }
    sum = over_lanes<Sum>(sum, 4);
    if (block >= blocks) continue;
    words[word] = bytes;
    const float scale = most / 127.0f;
    if (lane() % 8 == 0) scales[block] = {scale, scale * static_cast<float>(static_cast<int>(sum))};
  }
}

}  // namespace moshi::gpu
