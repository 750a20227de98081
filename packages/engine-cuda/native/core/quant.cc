#include "core/quant.h"

#include <algorithm>
#include <cstring>

namespace moshi {

namespace {

uint16_t half_at(const char* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  return half;
}

void put_half(char* p, float value) {
  const uint16_t half = float_to_f16(value);
  std::memcpy(p, &half, sizeof half);
}

// The largest magnitude of 32, read as whole numbers, which order like the floats they are the bits of.
float largest(const float* x) {
  uint32_t bits[32], top = 0;
  std::memcpy(bits, x, sizeof bits);
  for (const uint32_t value : bits) top = std::max(top, value & 0x7fffffffu);
  return bits_to_float(top);
}

void quantize_q8_0(const float* x, char* out) {
  const float scale = largest(x) / 127, inverse = scale > 0 ? 1 / scale : 0;
  put_half(out, scale);
  // Adding 1.5 2^23 leaves the nearest whole number in the low bits.
  for (int i = 0; i < 32; ++i) out[2 + i] = static_cast<char>(float_to_bits(x[i] * inverse + 0x1.8p23f));
}

void quantize_q4_0(const float* x, char* out) {
  // The largest value, with its sign, lands on -8, the end that the code has one more of.
  const float top = largest(x);
  const float extreme = std::find(x, x + 32, top) != x + 32 ? top : -top;
  const float scale = extreme / -8, inverse = scale != 0 ? 1 / scale : 0;
  put_half(out, scale);
  for (int i = 0; i < 16; ++i) {
    const auto code = [&](float v) {
      const float level = v * inverse + 8.5f;
      return static_cast<int>(level > 0 ? (level < 15 ? level : 15) : 0);
    };
    out[2 + i] = static_cast<char>(code(x[i]) | code(x[i + 16]) << 4);
  }
}

void dequantize_q4_k(const char* block, float* out) {
  const float d = f16_to_float(half_at(block)), m = f16_to_float(half_at(block + 2));
  const auto* packed = reinterpret_cast<const uint8_t*>(block + 4);
  const auto* codes = reinterpret_cast<const uint8_t*>(block + 16);
  for (int group = 0; group < 8; ++group) {
    uint8_t scale, minimum;
    q4_k_scale(packed, group, scale, minimum);
    for (int i = 0; i < 32; ++i) {
      const int code = codes[32 * (group / 2) + i] >> (group % 2 ? 4 : 0) & 15;
      out[32 * group + i] = d * static_cast<float>(scale) * static_cast<float>(code) - m * static_cast<float>(minimum);
    }
  }
}

}  // namespace

void quantize_q4_k(const float* x, char* out);

void quantize(DType type, const float* values, int64_t count, char* blocks) {
  const int size = block_elements(type), bytes = dtype_bytes(type);
  for (int64_t i = 0; i < count; i += size, values += size, blocks += bytes) {
    if (type == DType::Q8_0)
      quantize_q8_0(values, blocks);
    else if (type == DType::Q4_0)
      quantize_q4_0(values, blocks);
    else
      quantize_q4_k(values, blocks);
  }
}

void dequantize(DType type, const char* blocks, int64_t count, float* values) {
  const int size = block_elements(type), bytes = dtype_bytes(type);
  for (int64_t i = 0; i < count; i += size, values += size, blocks += bytes) {
    if (type == DType::Q4_K) {
      dequantize_q4_k(blocks, values);
      continue;
    }
    const float scale = f16_to_float(half_at(blocks));
    for (int j = 0; j < 32; ++j) {
      const int code = type == DType::Q8_0 ? static_cast<int8_t>(blocks[2 + j])
                                           : (static_cast<uint8_t>(blocks[2 + j % 16]) >> (j < 16 ? 0 : 4) & 15) - 8;
      values[j] = scale * static_cast<float>(code);
    }
  }
}

}  // namespace moshi
