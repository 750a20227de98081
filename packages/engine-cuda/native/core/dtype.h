// Element types a checkpoint may hold, and exact conversions to float.
#pragma once

#include <cstdint>
#include <cstring>

namespace moshi {

enum class DType : uint8_t { F32, F16, BF16, F64, I64, I32, I16, I8, U8, Bool };

constexpr int dtype_bytes(DType type) {
  switch (type) {
    case DType::F64:
    case DType::I64:
      return 8;
    case DType::F32:
    case DType::I32:
      return 4;
    case DType::F16:
    case DType::BF16:
    case DType::I16:
      return 2;
    default:
      return 1;
  }
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

}  // namespace moshi
