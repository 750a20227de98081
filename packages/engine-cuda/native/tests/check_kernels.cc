// Kernels of every instruction set against plain double arithmetic, at odd shapes; and that splitting or batching
// changes no bit.
#include <cmath>
#include <cstring>
#include <random>

#include "core/error.h"
#include "core/philox.h"
#include "cpu/cpu_backend.h"
#include "tests/checks.h"

namespace moshi {

namespace {

std::mt19937 random_source(99);

std::vector<float> normal(size_t count) {
  std::normal_distribution<float> distribution;
  std::vector<float> out(count);
  for (float& v : out) v = distribution(random_source);
  return out;
}

uint16_t to_bf16(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void check_linear(const char* isa, DType type) {
  CpuBackend one(1, isa), three(3, isa);
  for (const auto& [n, rows, cols] :
       {std::tuple{1, 7, 5}, {1, 64, 64}, {3, 33, 100}, {9, 5, 17}, {2, 129, 1031}, {600, 12, 40}}) {
    std::vector<float> w = normal(static_cast<size_t>(rows * cols)), x = normal(static_cast<size_t>(n * cols));
    std::vector<char> bytes(w.size() * static_cast<size_t>(dtype_bytes(type)));
    for (size_t i = 0; i < w.size(); ++i) {
      if (type == DType::F32) std::memcpy(&bytes[4 * i], &w[i], 4);
      // Any half bits but infinities are a value; the reference below reads them the slow way.
      const uint16_t half = type == DType::BF16
                                ? to_bf16(w[i])
                                : static_cast<uint16_t>((random_source() & 0x83ff) | (random_source() % 18) << 10);
      if (type != DType::F32)
        std::memcpy(&bytes[2 * i], &half, 2), w[i] = type == DType::BF16 ? bf16_to_float(half) : f16_to_float(half);
    }
    const Matrix a = one.pack(type, rows, cols, bytes), b = three.pack(type, rows, cols, bytes);
    std::vector<float> y(static_cast<size_t>(n * rows)), split(y), single(y);
    one.linear(a, x.data(), cols, y.data(), rows, n, false);
    three.linear(b, x.data(), cols, split.data(), rows, n, false);
    for (int i = 0; i < n; ++i)
      one.linear(a, &x[static_cast<size_t>(i * cols)], cols, &single[static_cast<size_t>(i * rows)], rows, 1, false);
    double error = 0;
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < rows; ++j) {
        double want = 0;
        for (int k = 0; k < cols; ++k)
          want += static_cast<double>(x[static_cast<size_t>(i * cols + k)]) * w[static_cast<size_t>(j * cols + k)];
        error = std::fmax(error, std::fabs(want - y[static_cast<size_t>(i * rows + j)]) / std::sqrt(cols));
      }
    const std::string shape =
        std::string(isa) + " linear " + std::to_string(n) + "x" + std::to_string(rows) + "x" + std::to_string(cols);
    expect(error < 1e-4, shape + " agrees with plain arithmetic");
    expect(y == split, shape + ": threads change no bit");
    expect(y == single, shape + ": company changes no bit");
    one.linear(a, x.data(), cols, y.data(), rows, n, true);
    expect(std::fabs(y[0] - 2 * split[0]) < 1e-3, shape + " adds when told to");
  }
}

void check_nearest(const char* isa) {
  CpuBackend backend(2, isa);
  const std::vector<float> table = normal(50 * 13);
  std::vector<char> bytes(table.size() * 4);
  std::memcpy(bytes.data(), table.data(), bytes.size());
  const Matrix matrix = backend.pack(DType::F32, 50, 13, bytes);
  std::vector<int32_t> codes(50);
  backend.nearest(matrix, table.data(), codes.data(), 50);
  bool right = true;
  for (int i = 0; i < 50; ++i) right &= codes[static_cast<size_t>(i)] == i;
  expect(right, std::string(isa) + " nearest finds each entry itself");
}

}  // namespace

void check_kernels() {
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    try {
      choose_kernels(isa);
    } catch (const Error&) {
      continue;
    }
    for (const DType type : {DType::F32, DType::BF16, DType::F16}) check_linear(isa, type);
    check_nearest(isa);
  }
  bool refused = false;
  try {
    choose_kernels("mmx");
  } catch (const Error&) {
    refused = true;
  }
  expect(refused, "an unknown instruction set is refused");
  // Known answer of Philox4x32-10 (Random123's test vector for zero key and counter).
  expect(philox(0, 0, 0).word[0] == 0x6627e8d5u, "philox gives the published test vector");
}

}  // namespace moshi
