// ggml's quantized blocks along a row, bit for bit as its files hold them.
//   Q8_0  32 elements, 34 bytes: f16 scale d, 32 int8 q                   value = d q
//   Q4_0  32 elements, 18 bytes: f16 scale d, 32 nibbles q                value = d (q - 8); byte j holds j and j + 16
//   Q4_K 256 elements, 144 bytes: f16 d and m, 8 six-bit scales s and mins t (12 bytes), 256 nibbles q
//                                 value = d s q - m t of its group of 32; byte 32 g + j holds groups 2g and 2g + 1
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace moshi {

// `count` values, whole blocks of them.
void quantize(DType type, const float* values, int64_t count, char* blocks);
void dequantize(DType type, const char* blocks, int64_t count, float* values);

// The six-bit scale and minimum of group 0 … 7 out of the 12 bytes of a Q4_K block.
inline void q4_k_scale(const uint8_t* packed, int group, uint8_t& scale, uint8_t& minimum) {
  if (group < 4) {
    scale = packed[group] & 63;
    minimum = packed[group + 4] & 63;
  } else {
    scale = static_cast<uint8_t>((packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4);
    minimum = static_cast<uint8_t>((packed[group + 4] >> 4) | (packed[group] >> 6) << 4);
  }
}

}  // namespace moshi
