// What type a weight is run in: what the user asked for, and what the quality of a model bears.
#pragma once

#include <string>

#include "core/dtype.h"

namespace moshi {

enum class Precision : uint8_t {
  Stored,  // as the file has it
  F16,
  BF16,
  Q8,     // every matrix Q8_0
  Mixed,  // Q4_K for the temporal feed-forward layers, Q8_0 for all else
  Q4,     // Q4_K for all of the temporal layers, Q8_0 for all else
};

// Throws Error(kBadOption) for an unknown name: "stored", "f16", "bf16", "q8", "mixed", "q4".
Precision parse_precision(const std::string& name);
const char* precision_name(Precision precision);

// The type the matrix `name` [.., cols] is packed in. Weights a file holds quantized stay as they are: a second
// rounding would only lose.
DType packed_type(Precision precision, const std::string& name, DType stored, int64_t cols);

}  // namespace moshi
