// Stored elements of any type as numbers to compute with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace moshi {

// `count` little-endian elements at `raw` as float32; false when the type holds no floating-point numbers.
bool to_floats(DType type, const char* raw, size_t count, float* out);
// The same for whole numbers.
bool to_integers(DType type, const char* raw, size_t count, int64_t* out);
// float32 values in a floating type, rounded to nearest even; false when the type holds no floating-point numbers.
bool from_floats(DType type, const float* values, size_t count, char* raw);

}  // namespace moshi
