// A stored matrix in another type of element.
#pragma once

#include "model/backend.h"

namespace moshi {

// All values of the matrix as floats, [rows, cols]. Throws Error(kBadModel) for a type that holds none.
std::vector<float> matrix_floats(const StoredMatrix& matrix);

// Rounds floats to F32, F16, BF16, Q8_0, Q4_0 or Q4_K; blocks that reach beyond a row are filled with zeros. What is
// quantized already is returned as it is.
StoredMatrix converted(StoredMatrix matrix, DType type);

}  // namespace moshi
