// The input of linear layers over codes: rows of floats as whole numbers -127 … 127 with a scale for each block of 32
// columns; codes [32 blocks], scales [blocks] of a row, columns beyond cols are zeros.
#pragma once

#include "cuda/gpu.h"
#include "cuda/kernels/linear.h"

namespace moshi::gpu {

GPU_DEVICE float magnitude(float value) {
  return value < 0 ? -value : value;
}
// What a block's values are multiplied with, of which this is the largest magnitude.
GPU_DEVICE float inverse_scale(float most) {
  // Below, the quotient would be infinite.
  return most > 3.8e-37f ? 127.0f / most : 0;
}
// The code of one, in the low byte and in all of it.
GPU_DEVICE int code_of(float value, float inverse) {
  // So large a number has no room for fractions: its last bits are the code, rounded to even, and once.
  return static_cast<int>(__builtin_bit_cast(uint32_t, multiply_add(value, inverse, 12582912.0f)) - 0x4b400000u);
}
GPU_DEVICE InputScale input_scale(float most, int sum) {
  const float scale = most / 127.0f;
  return {scale, scale * static_cast<float>(sum)};
}

// One block, of which each lane of a warp has a column.
GPU_DEVICE void quantize_block(float value, int8_t* codes, InputScale* scale) {
  const float most = warp_max(magnitude(value));
  const int code = code_of(value, inverse_scale(most)), sum = warp_sum(code);
  codes[lane()] = static_cast<int8_t>(code);
  if (lane() == 0) *scale = input_scale(most, sum);
}

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
      most = Max::join(most, magnitude(values[i]));
    }
    most = over_lanes<Max>(most, 4);
    const float inverse = inverse_scale(most);
    uint32_t bytes = 0;
    int sum = 0;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int code = code_of(values[i], inverse);
      bytes |= (static_cast<uint32_t>(code) & 255u) << 8 * i;
      sum += code;
    }
    sum = over_lanes<Sum>(sum, 4);
    if (block >= blocks) continue;
    words[word] = bytes;
    if (lane() % 8 == 0) scales[block] = input_scale(most, sum);
  }
}

}  // namespace moshi::gpu
