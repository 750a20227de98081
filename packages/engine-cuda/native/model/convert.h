// Stored matrices in other types of element.
#pragma once

#include "core/function_ref.h"
#include "model/backend.h"

namespace moshi {

// F32, F16 and BF16, which hold numbers one by one.
inline bool is_float(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}

// Bytes of a row, whose last block may reach beyond it.
int64_t row_bytes(DType type, int64_t cols);

// Rows [begin, begin + rows) of the matrix as floats. Throws Error(kBadModel) for a type that holds none.
void matrix_rows(const StoredMatrix& matrix, int64_t begin, int64_t rows, float* out);
// All of it, [rows, cols].
std::vector<float> matrix_floats(const StoredMatrix& matrix);

// Rounds a row to F32, F16, BF16, Q8_0, Q4_0 or Q4_K; what its last block lacks is zeros. False when a value is beyond
// what the type holds.
bool store_row(DType type, const float* values, int64_t cols, char* out);

// A stored matrix in one of those types. Throws Error(kBadModel) when a value is beyond what the type holds.
StoredMatrix converted(StoredMatrix matrix, DType type, Backend* backend = nullptr);

// Calls task(begin, count) for pieces of the rows, a few hundred kB as floats, several at once where the backend can.
// Throws the first error of a piece.
void by_rows(Backend* backend, int64_t rows, int64_t cols, FunctionRef<void(int64_t begin, int64_t count)> task);

}  // namespace moshi
