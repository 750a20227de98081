#include "model/convert.h"

#include <algorithm>

#include "core/error.h"
#include "core/quant.h"
#include "files/values.h"

namespace moshi {

namespace {

bool is_float(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}

// Elements of a row with its last block filled up.
int64_t padded(DType type, int64_t cols) {
  const int64_t size = block_elements(type);
  return (cols + size - 1) / size * size;
}

}  // namespace

std::vector<float> matrix_floats(const StoredMatrix& m) {
  const auto rows = static_cast<size_t>(m.rows), cols = static_cast<size_t>(m.cols);
  std::vector<float> out(rows * cols);
  if (to_floats(m.type, m.bytes.data(), out.size(), out.data())) return out;
  if (m.type == DType::I8 || m.type == DType::U8) {
    for (size_t i = 0; i < out.size(); ++i) {
      const size_t row = i / cols, group = m.group > 0 ? row * (cols / static_cast<size_t>(m.group)) +
                                                             i % cols / static_cast<size_t>(m.group)
                                                       : row;
      out[i] = m.type == DType::I8
                   ? m.scales[row] * static_cast<float>(static_cast<int8_t>(m.bytes[i]))
                   : m.scales[group] * static_cast<float>(static_cast<uint8_t>(m.bytes[i])) + m.offsets[group];
    }
    return out;
  }
  if (block_elements(m.type) == 1) throw Error(kBadModel, std::string("a matrix of ") + "whole numbers cannot be run");
  const int64_t width = padded(m.type, m.cols);
  std::vector<float> row(static_cast<size_t>(width));
  for (size_t r = 0; r < rows; ++r) {
    dequantize(m.type, &m.bytes[r * static_cast<size_t>(stored_bytes(m.type, width))], width, row.data());
    std::copy_n(row.begin(), cols, out.begin() + static_cast<int64_t>(r * cols));
  }
  return out;
}

StoredMatrix converted(StoredMatrix matrix, DType type) {
  if (matrix.type == type || !is_float(matrix.type)) return matrix;
  const auto rows = static_cast<size_t>(matrix.rows), cols = static_cast<size_t>(matrix.cols);
  const int64_t width = padded(type, matrix.cols);
  const auto from = static_cast<size_t>(stored_bytes(matrix.type, matrix.cols)),
             to = static_cast<size_t>(stored_bytes(type, width));
  StoredMatrix out{.type = type,
                   .rows = matrix.rows,
                   .cols = matrix.cols,
                   .bytes = std::vector<char>(rows * to),
                   .scales = {},
                   .offsets = {}};
  std::vector<float> row(static_cast<size_t>(width));
  for (size_t r = 0; r < rows; ++r) {
    to_floats(matrix.type, &matrix.bytes[r * from], cols, row.data());
    if (!from_floats(type, row.data(), cols, &out.bytes[r * to])) quantize(type, row.data(), width, &out.bytes[r * to]);
  }
  return out;
}

}  // namespace moshi
