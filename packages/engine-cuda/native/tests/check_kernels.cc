// Kernels of every instruction set against plain double arithmetic, at odd shapes and in every type of weight; and that
// splitting or batching changes no bit.
#include <cmath>
#include <cstring>
#include <random>

#include "core/error.h"
#include "core/philox.h"
#include "core/quant.h"
#include "cpu/cpu_backend.h"
#include "files/tensor_file.h"
#include "model/convert.h"
#include "model/kv_cache.h"
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

StoredMatrix empty(DType type, int64_t rows, int64_t cols) {
  return {.type = type, .rows = rows, .cols = cols, .bytes = {}, .scales = {}, .offsets = {}};
}

StoredMatrix random_matrix(DType type, int bits, int64_t rows, int64_t cols) {
  const auto count = static_cast<size_t>(rows * cols);
  StoredMatrix out = empty(type, rows, cols);
  if (type == DType::I8 || type == DType::U8) {
    out.bytes.resize(count);
    out.bits = bits;
    for (char& code : out.bytes) code = static_cast<char>(random_source() & (bits == 4 ? 15 : 255));
    if (type == DType::I8) {
      out.scales = normal(static_cast<size_t>(rows));
      out.scales[0] = 0;  // a row of zeros
      return out;
    }
    out.group = 32;
    out.scales = normal(count / 32);
    out.offsets = normal(count / 32);
    return out;
  }
  const std::vector<float> values = normal(count);
  out.type = DType::F32;
  out.bytes.resize(count * 4);
  std::memcpy(out.bytes.data(), values.data(), count * 4);
  out = converted(std::move(out), type);
  // Any half bits but infinities are a value, and the plain conversion reads them the slow way.
  if (type == DType::F16)
    for (size_t i = 0; i < count; ++i) {
      const auto half = static_cast<uint16_t>((random_source() & 0x83ff) | (random_source() % 18) << 10);
      std::memcpy(&out.bytes[2 * i], &half, 2);
    }
  return out;
}

// Inputs that lose nothing when they are rounded to 127 levels of the largest of every 32.
std::vector<float> coded(size_t rows, size_t cols) {
  std::vector<float> out(rows * cols);
  float scale = 1;
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t column = i % cols;
    if (column % 32 == 0) scale = std::ldexp(1.0f, static_cast<int>(random_source() % 9) - 4);
    const int code = column % 32 == 0 ? 127 : static_cast<int>(random_source() % 255) - 127;
    out[i] = scale * static_cast<float>(code);
  }
  return out;
}

void check_quantize(const Kernels& kernels) {
  std::vector<float> x = normal(70), scales(3), sums(3);
  x[40] = 0;
  std::vector<char> codes(static_cast<size_t>(96 * kernels.code_bytes));
  std::vector<int32_t> starts(3);
  kernels.quantize(x.data(), 70, 3, 1, 7, codes.data(), scales.data(), starts.data(), sums.data());
  bool near = true, summed = true, zero = true;
  for (size_t b = 0; b < 3; ++b) {
    int total = 0;
    for (size_t i = 32 * b; i < 32 * b + 32; ++i) {
      // Kernels that want 16 bits want the columns of every four as 0, 2, 1, 3.
      const size_t place = (i & ~size_t{3}) | (i & 1) << 1 | (i >> 1 & 1);
      int16_t wide;
      if (kernels.code_bytes == 2) std::memcpy(&wide, &codes[2 * place], 2);
      const int code = kernels.code_bytes == 2 ? wide : static_cast<int8_t>(codes[i]);
      total += code;
      if (i >= 70)
        zero &= code == 0;
      else
        near &= std::fabs(x[i] - scales[b] * static_cast<float>(code)) <= 0.5001f * scales[b] && std::abs(code) <= 127;
    }
    summed &= starts[b] == -7 * total && sums[b] == scales[b] * static_cast<float>(total);
  }
  expect(near && summed && zero, std::string(kernels.isa) + " rounds inputs to the nearest code");
}

void check_linear(const Kernels& kernels, DType type, int bits, Inputs inputs) {
  CpuBackend one(1, kernels.isa, inputs), three(3, kernels.isa, inputs);
  const bool grouped = type == DType::U8, plain = type == DType::F32 || type == DType::F16 || type == DType::BF16;
  for (auto [n, rows, cols] : {std::tuple{1, 7, 5},
                               {1, 64, 64},
                               {3, 33, 100},
                               {9, 5, 17},
                               {2, 129, 1031},
                               {600, 12, 40},
                               {17, 70, 257},
                               {40, 50, 1031}}) {
    if (grouped) cols = (cols + 31) / 32 * 32;
    const StoredMatrix stored = random_matrix(type, bits, rows, cols);
    const std::vector<float> w = matrix_floats(stored),
                             x = plain || inputs == Inputs::Floats
                                     ? normal(static_cast<size_t>(n * cols))
                                     : coded(static_cast<size_t>(n), static_cast<size_t>(cols));
    const Matrix a = one.pack(stored), b = three.pack(stored);
    std::vector<float> y(static_cast<size_t>(n * rows)), split(y), single(y);
    one.linear(a, x.data(), cols, y.data(), rows, n, false);
    three.linear(b, x.data(), cols, split.data(), rows, n, false);
    for (int i = 0; i < n; ++i)
      one.linear(a, &x[static_cast<size_t>(i * cols)], cols, &single[static_cast<size_t>(i * rows)], rows, 1, false);
    double error = 0, size = 0;
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < rows; ++j) {
        double want = 0;
        for (int k = 0; k < cols; ++k)
          want += static_cast<double>(x[static_cast<size_t>(i * cols + k)]) * w[static_cast<size_t>(j * cols + k)];
        error = std::fmax(error, std::fabs(want - y[static_cast<size_t>(i * rows + j)]));
        size = std::fmax(size, std::fabs(want));
      }
    const std::string shape = std::string(kernels.isa) + " " + dtype_name(type) + " linear " + std::to_string(n) + "x" +
                              std::to_string(rows) + "x" + std::to_string(cols) +
                              (inputs == Inputs::Floats ? "" : " on codes");
    expect(error < 2e-5 * size, shape + " agrees with plain arithmetic");
    expect(y == split, shape + ": threads change no bit");
    expect(y == single, shape + ": company changes no bit");
    std::vector<float> twice(y);
    three.linear(b, x.data(), cols, twice.data(), rows, n, true);
    bool added = true;
    for (size_t i = 0; i < y.size(); ++i) added &= twice[i] == y[i] + y[i];
    expect(added, shape + " adds when told to");
  }
}

void check_nearest(const char* isa) {
  CpuBackend backend(2, isa);
  StoredMatrix stored = random_matrix(DType::F32, 8, 50, 13);
  std::memcpy(&stored.bytes[49 * 13 * 4], &stored.bytes[17 * 13 * 4], 13 * 4);
  const std::vector<float> table = matrix_floats(stored);
  const Matrix matrix = backend.pack(stored);
  std::vector<int32_t> codes(50);
  backend.nearest(matrix, table.data(), codes.data(), 1, 50);
  bool right = true;
  for (int i = 0; i < 49; ++i) right &= codes[static_cast<size_t>(i)] == i;
  expect(right, std::string(isa) + " nearest finds each entry itself");
  expect(codes[49] == 17, std::string(isa) + " nearest takes the first among equals");
  std::vector<float> row(13);
  backend.embed(matrix, codes.data() + 5, 1, row.data(), 1, false);
  expect(std::memcmp(row.data(), &table[5 * 13], sizeof(float) * 13) == 0,
         std::string(isa) + " looks up what it packed");
}

void check_elementwise(const char* isa) {
  CpuBackend backend(2, isa);
  std::vector<float> x, y(4001), z = normal(4001);
  for (int i = 0; i < 4001; ++i) x.push_back(static_cast<float>(i - 2000) * 0.01f);
  x[0] = -1e30f, x[4000] = 1e30f;
  const auto worst = [&](Activation kind, auto want) {
    backend.activate(kind, x.data(), y.data(), 4001, 0.7f);
    double error = 0;
    for (size_t i = 0; i < x.size(); ++i)
      error = std::fmax(error, std::fabs(want(static_cast<double>(x[i])) - y[i]) / std::fmax(1, std::fabs(x[i])));
    return error;
  };
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const std::string name = std::string(isa) + " ";
  expect(worst(Activation::Elu, [](double v) { return v > 0 ? v : 0.7f * std::expm1(v); }) < 3e-7, name + "elu");
  expect(worst(Activation::Gelu, [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2))); }) < 3e-7,
         name + "gelu");
  expect(worst(Activation::Silu, [&](double v) { return v * sigmoid(v); }) < 3e-7, name + "silu");
  expect(worst(Activation::Sigmoid, sigmoid) < 3e-7, name + "sigmoid");
  expect(worst(Activation::Tanh, [](double v) { return std::tanh(v); }) < 5e-7, name + "tanh");
  expect(worst(Activation::Relu, [](double v) { return std::fmax(v, 0); }) == 0, name + "relu");
  std::vector<float> pair = normal(2 * 37), out(37);
  backend.gate(Activation::Silu, pair.data(), out.data(), 1, 37);
  double error = 0;
  for (size_t i = 0; i < 37; ++i)
    error = std::fmax(error, std::fabs(pair[i] * sigmoid(pair[i]) * pair[37 + i] - out[i]));
  expect(error < 1e-6, name + "gate");
}

// Attention over a ring that has gone round, in each type of element, against plain arithmetic on what the ring holds.
void check_attention(const char* isa, KvType type) {
  CpuBackend one(1, isa), three(3, isa);
  for (const int64_t dim : {8, 20, 128, 136}) {
    const AttentionShape shape{4, 2, static_cast<int>(dim), true, true, 10000};
    const int64_t capacity = 70, width = shape.q_width() + 2 * shape.kv_width(), steps = 101;
    KvCache cache(type, 2, capacity, shape.kv_heads, dim), other(type, 2, capacity, shape.kv_heads, dim);
    std::vector<float> qkv, out(static_cast<size_t>(shape.q_width())), same(out);
    Row row{&cache, 0, 0}, twin{&other, 0, 0};
    std::vector<float> turn;
    for (int64_t i = 0; i < dim / 2; ++i) turn.insert(turn.end(), {0.6f, 0.8f});
    for (int64_t p = 0; p < steps; ++p) {
      row = {&cache, p, std::max<int64_t>(0, p - 66)};
      twin = {&other, p, row.first};
      qkv = normal(static_cast<size_t>(width));
      std::vector<float> copy(qkv);
      cache.reserve(one, p + 1);
      other.reserve(three, p + 1);
      one.append(shape, 1, qkv.data(), {.host = {&row, 1}, .rotations = turn.data()});
      three.append(shape, 1, copy.data(), {.host = {&twin, 1}, .rotations = turn.data()});
    }
    one.attend(shape, 1, qkv.data(), out.data(), {.host = {&row, 1}});
    three.attend(shape, 1, qkv.data(), same.data(), {.host = {&twin, 1}});
    const std::vector<float> keys = cache.read(one, 1, false, capacity), values = cache.read(one, 1, true, capacity);
    double error = 0;
    for (int h = 0; h < shape.heads; ++h) {
      std::vector<double> weights, want(static_cast<size_t>(dim));
      double total = 0;
      const auto at = [&](int64_t p, int64_t d) {
        return static_cast<size_t>(p % capacity * shape.kv_width() + h / 2 * dim + d);
      };
      for (int64_t p = row.first; p <= row.position; ++p) {
        double score = 0;
        for (int64_t d = 0; d < dim; ++d)
          score += static_cast<double>(qkv[static_cast<size_t>(h * dim + d)]) * keys[at(p, d)];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
        total += weights.back();
      }
      for (int64_t p = row.first; p <= row.position; ++p)
        for (int64_t d = 0; d < dim; ++d)
          want[static_cast<size_t>(d)] += weights[static_cast<size_t>(p - row.first)] / total * values[at(p, d)];
      for (int64_t d = 0; d < dim; ++d)
        error = std::fmax(error, std::fabs(want[static_cast<size_t>(d)] - out[static_cast<size_t>(h * dim + d)]));
    }
    const std::string name =
        std::string(isa) + " attention over " + kv_type_name(type) + ", heads of " + std::to_string(dim);
    expect(error < 3e-6, name + " agrees with plain arithmetic");
    expect(out == same, name + ": threads change no bit");
    // What the ring rounds away: the last key, rotated, is still in qkv.
    double lost = 0;
    for (int64_t d = 0; d < dim; ++d)
      lost = std::fmax(lost, std::fabs(qkv[static_cast<size_t>(shape.q_width() + d)] -
                                       keys[static_cast<size_t>(row.position % capacity * shape.kv_width() + d)]));
    expect(lost <= (type == KvType::F32 ? 0 : type == KvType::F16 ? 2e-3 : 2e-2), name + " keeps what it is given");
  }
}

}  // namespace

void check_kernels() {
  for (const Kernels* kernels : available_kernels()) {
    for (const DType type : {DType::F32, DType::BF16, DType::F16}) check_linear(*kernels, type, 8, Inputs::Codes);
    for (const Inputs inputs : {Inputs::Floats, Inputs::Codes}) {
      for (const DType type : {DType::Q8_0, DType::Q4_0, DType::Q4_K, DType::I8, DType::U8})
        check_linear(*kernels, type, 8, inputs);
      check_linear(*kernels, DType::U8, 4, inputs);
    }
    check_quantize(*kernels);
    check_nearest(kernels->isa);
    check_elementwise(kernels->isa);
    for (const KvType type : {KvType::F32, KvType::F16, KvType::Q8}) check_attention(kernels->isa, type);
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
