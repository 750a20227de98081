// Element types a checkpoint may hold, exact conversions to float, and conversions back that round to nearest even.
// Q8_0, Q4_0 and Q4_K are ggml's blocks of 32, 32 and 256 elements along a row; see core/quant.h.
#pragma once

#include <cstdint>
#include <cstring>

namespace moshi {

enum class DType : uint8_t { F32, F16, BF16, F64, I64, I32, I16, I8, U8, U32, Bool, Q8_0, Q4_0, Q4_K };

// Not floats, but codes with scales.
constexpr bool is_quantized(DType type) {
  return type != DType::F32 && type != DType::F16 && type != DType::BF16;
}

// Elements a block holds; 1 for plain types.
constexpr int block_elements(DType type) {
  return type == DType::Q4_K ? 256 : type == DType::Q8_0 || type == DType::Q4_0 ? 32 : 1;
}

// Bytes of one element, or of one block.
constexpr int dtype_bytes(DType type) {
  switch (type) {
    case DType::F64:
    case DType::I64:
      return 8;
    case DType::F32:
    case DType::I32:
    case DType::U32:
      return 4;
    case DType::Q8_0:
      return 34;
    case DType::Q4_0:
      return 18;
    case DType::Q4_K:
      return 144;
    case DType::F16:
    case DType::BF16:
    case DType::I16:
      return 2;
    default:
      return 1;
  }
}

// Bytes of so many elements, whole blocks of them.
constexpr int64_t stored_bytes(DType type, int64_t count) {
  return count / block_elements(type) * dtype_bytes(type);
}

inline float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float bf16_to_float(uint16_t bits) {
  return bits_to_float(static_cast<uint32_t>(bits) << 16);
}

inline float f16_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  if ((half & 0x7c00u) == 0x7c00u) return bits_to_float(sign | 0x7f800000u | magnitude);
  // Multiplying by 2^112 re-biases the exponent and makes half's subnormals exact.
  return bits_to_float(sign) + (sign ? -1.0f : 1.0f) * bits_to_float(magnitude) * 0x1p112f;
}

inline uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = float_to_bits(value);
  // Rounding could carry a NaN's last bits into infinity; it stays a quiet NaN.
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline uint16_t float_to_f16(float value) {
  const uint32_t bits = float_to_bits(value), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  // Below half's normal range, adding 0.5 leaves its subnormal bits, rounded, at the bottom of the fraction.
  if (magnitude < 0x38800000u)
    return static_cast<uint16_t>(sign | (float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3f000000u));
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13);
}

}  // namespace moshi
