// Numbers that GGUF files use.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "core/dtype.h"

namespace moshi {

inline constexpr uint32_t kGgufMagic = 0x46554747, kGgufVersion = 3;
inline constexpr uint64_t kGgufAlignment = 32;

// Types of metadata values.
enum class GgufValue : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64 };

// ggml's numbers of the types of tensors that can be read.
inline constexpr std::array<std::pair<uint32_t, DType>, 11> kGgufTypes = {{{0, DType::F32},
                                                                           {1, DType::F16},
                                                                           {2, DType::Q4_0},
                                                                           {8, DType::Q8_0},
                                                                           {12, DType::Q4_K},
                                                                           {24, DType::I8},
                                                                           {25, DType::I16},
                                                                           {26, DType::I32},
                                                                           {27, DType::I64},
                                                                           {28, DType::F64},
                                                                           {30, DType::BF16}}};

}  // namespace moshi
