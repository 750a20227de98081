#include "model/convert.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>

#include "core/error.h"
#include "core/quant.h"
#include "files/values.h"

namespace moshi {

namespace {

constexpr int64_t kPiece = 64 << 10;  // values

// Whether halves that were rounded from floats are all finite.
bool are_finite(const char* halves, int64_t count) {
  uint32_t beyond = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, halves + 2 * i, 2);
    beyond |= (half & 0x7c00u) == 0x7c00u;
  }
  return beyond == 0;
}

}  // namespace

int64_t row_bytes(DType type, int64_t cols) {
  const int64_t size = block_elements(type);
  return stored_bytes(type, (cols + size - 1) / size * size);
}

void matrix_rows(const StoredMatrix& m, int64_t begin, int64_t rows, float* out) {
  const auto count = static_cast<size_t>(rows * m.cols);
  const char* const from = m.bytes.data() + begin * row_bytes(m.type, m.cols);
  if (to_floats(m.type, from, count, out)) return;
  if (m.type == DType::I8) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < m.cols; ++c)
        out[r * m.cols + c] =
            m.scales[static_cast<size_t>(begin + r)] * static_cast<float>(static_cast<int8_t>(from[r * m.cols + c]));
    return;
  }
  if (m.type == DType::U8 && m.group > 0) {
    const int64_t groups = m.cols / m.group;
    for (int64_t i = 0; i < rows * m.cols; ++i) {
      const auto group = static_cast<size_t>((begin + i / m.cols) * groups + i % m.cols / m.group);
      out[i] = m.scales[group] * static_cast<float>(static_cast<uint8_t>(from[i])) + m.offsets[group];
    }
    return;
  }
  const int64_t size = block_elements(m.type);
  if (size == 1) throw Error(kBadModel, std::string("a matrix of ") + "whole numbers cannot be run");
  const int64_t width = (m.cols + size - 1) / size * size;
  if (width == m.cols) return dequantize(m.type, from, rows * m.cols, out);
  std::vector<float> row(static_cast<size_t>(width));
  for (int64_t r = 0; r < rows; ++r) {
    dequantize(m.type, from + r * stored_bytes(m.type, width), width, row.data());
    std::copy_n(row.begin(), m.cols, out + r * m.cols);
  }
}

std::vector<float> matrix_floats(const StoredMatrix& m) {
  std::vector<float> out(static_cast<size_t>(m.rows * m.cols));
  matrix_rows(m, 0, m.rows, out.data());
  return out;
}

bool store_row(DType type, const float* values, int64_t cols, char* out) {
  if (from_floats(type, values, static_cast<size_t>(cols), out)) return type != DType::F16 || are_finite(out, cols);
  const int64_t size = block_elements(type), whole = cols / size * size;
  quantize(type, values, whole, out);
  if (whole < cols) {
    float last[256] = {};
    std::copy(values + whole, values + cols, last);
    quantize(type, last, size, out + stored_bytes(type, whole));
  }
  return true;
}

StoredMatrix converted(StoredMatrix matrix, DType type, Backend* backend) {
  if (matrix.type == type) return matrix;
  StoredMatrix out{.type = type, .rows = matrix.rows, .cols = matrix.cols, .bytes = {}, .scales = {}, .offsets = {}};
  const int64_t width = row_bytes(type, matrix.cols);
  out.bytes.resize(static_cast<size_t>(matrix.rows * width));
  by_rows(backend, matrix.rows, matrix.cols, [&](int64_t begin, int64_t count) {
    std::vector<float> values(static_cast<size_t>(count * matrix.cols));
    matrix_rows(matrix, begin, count, values.data());
    for (int64_t r = 0; r < count; ++r)
      if (!store_row(type, &values[static_cast<size_t>(r * matrix.cols)], matrix.cols,
                     &out.bytes[static_cast<size_t>((begin + r) * width)]))
        throw Error(kBadModel, "a weight is too large for f16; use bf16");
  });
  return out;
}

void by_rows(Backend* backend, int64_t rows, int64_t cols, FunctionRef<void(int64_t begin, int64_t count)> task) {
  const int64_t step = std::max<int64_t>(1, kPiece / std::max<int64_t>(1, cols)), pieces = (rows + step - 1) / step;
  std::mutex mutex;
  std::exception_ptr failed;
  const auto piece = [&](int64_t i) {
    try {
      task(i * step, std::min(step, rows - i * step));
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!failed) failed = std::current_exception();
    }
  };
  if (backend) {
    backend->each(pieces, piece);
  } else {
    for (int64_t i = 0; i < pieces; ++i) piece(i);
  }
  if (failed) std::rethrow_exception(failed);
}

}  // namespace moshi
