// Helpers of the checks of the GPU's linear layers: random matrices and inputs, and plain arithmetic to compare with.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cuda/gpu.h"
#include "cuda/host/launch.h"
#include "cuda/kernels/kernels.h"
#include "cuda/packed.h"
#include "files/tensor_file.h"
#include "model/convert.h"

namespace moshi {

using gpu::host::Order;
using Floats = std::vector<float>;

inline constexpr Order kForward{Order::Forward, 0};
inline constexpr Order kOthers[] = {{Order::Reverse, 0}, {Order::Random, 1}, {Order::Random, 2}};

inline std::mt19937 random_source(11);

inline Floats normal(int64_t count) {
  std::normal_distribution<float> distribution;
  Floats out(static_cast<size_t>(count));
  for (float& v : out) v = distribution(random_source);
  return out;
}

inline StoredMatrix random_matrix(DType type, int64_t rows, int64_t cols, int bits = 8, int64_t group = 0) {
  const Floats values = normal(rows * cols);
  StoredMatrix out{.type = type, .rows = rows, .cols = cols, .bytes = {}, .scales = {}, .offsets = {}};
  if (type == DType::I8 || type == DType::U8) {
    out.bits = bits;
    out.group = group;
    for (int64_t i = 0; i < rows * cols; ++i)
      out.bytes.push_back(static_cast<char>(random_source() & (bits == 4 ? 15u : 255u)));
    out.scales = normal(type == DType::I8 ? rows : rows * (cols / group));
    if (type == DType::U8) out.offsets = normal(rows * (cols / group));
    return out;
  }
  out.type = DType::F32;
  out.bytes.resize(values.size() * 4);
  std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return converted(std::move(out), type);
}

// Rows of x as codes, 16-byte aligned.
struct Codes {
  Codes(const float* x, int64_t stride, int n, int cols, Order order = kForward)
      : blocks((cols + 31) / 32), words(static_cast<size_t>(n) * static_cast<size_t>(blocks) * 2) {
    scales.resize(static_cast<size_t>(n) * static_cast<size_t>(blocks));
    gpu::host::launch({.kernel = "quantize_rows", .grid = {2, n}, .threads = 64, .order = order}, quantize_rows, x,
                      stride, cols, data(), scales.data());
  }
  int8_t* data() { return reinterpret_cast<int8_t*>(words.data()); }
  // What the codes of row i stand for.
  float value(int i, int column) {
    return scales[static_cast<size_t>(i * blocks + column / 32)].scale *
           static_cast<float>(data()[static_cast<int64_t>(i) * blocks * 32 + column]);
  }

  int blocks;
  std::vector<gpu::Int4> words;
  std::vector<InputScale> scales;
};

// A matrix in the GPU's form.
struct Layer {
  explicit Layer(const StoredMatrix& stored) : layout(gpu::packed_layout(stored)) {
    const std::vector<char> bytes = gpu::pack(stored);
    packed.resize((bytes.size() + 15) / 16);
    std::memcpy(packed.data(), bytes.data(), bytes.size());
  }
  // y (+)= w x of rows x_stride apart, given as floats and as codes.
  Linear linear(const float* x, int64_t x_stride, Codes& codes, float* y, int64_t y_stride, bool add) const {
    Linear a = gpu::linear_of(layout, reinterpret_cast<const char*>(packed.data()));
    a.x = x, a.x_stride = x_stride;
    a.codes = codes.data(), a.x_scales = codes.scales.data();
    a.y = y, a.y_stride = y_stride;
    a.add = add;
    return a;
  }

  gpu::PackedLayout layout;
  std::vector<gpu::Int4> packed;
};

struct Kind {
  DType type;
  int bits;
  int64_t group;  // 0: all of a row
};
inline constexpr Kind kKinds[] = {{DType::F32, 8, 32},  {DType::F16, 8, 32},  {DType::BF16, 8, 32},
                                  {DType::Q8_0, 8, 32}, {DType::Q4_0, 8, 32}, {DType::Q4_K, 8, 32},
                                  {DType::I8, 8, 32},   {DType::U8, 8, 32},   {DType::U8, 4, 32},
                                  {DType::U8, 8, 0},    {DType::U8, 4, 0}};

inline std::string name_of(const StoredMatrix& s) {
  return std::string("GPU linear ") + dtype_name(s.type) + (s.type == DType::U8 && s.bits == 4 ? ", 4 bits" : "") +
         ", " + std::to_string(s.rows) + "x" + std::to_string(s.cols);
}

// Largest error of y [n, y_stride] against plain arithmetic, over the largest value; x as the kernels meet it: floats
// as they are, else as codes.
inline double error_of(const StoredMatrix& s, const Floats& x, int64_t stride, int n, const Floats& y,
                       int64_t y_stride) {
  const Floats w = matrix_floats(s);
  const bool plain = is_float(s.type);
  Codes codes(x.data(), stride, n, static_cast<int>(s.cols));
  double error = 0, size = 0;
  for (int i = 0; i < n; ++i)
    for (int64_t r = 0; r < s.rows; ++r) {
      double want = 0;
      for (int64_t c = 0; c < s.cols; ++c)
        want += static_cast<double>(w[static_cast<size_t>(r * s.cols + c)]) *
                (plain ? x[static_cast<size_t>(i * stride + c)] : codes.value(i, static_cast<int>(c)));
      const double off = std::fabs(want - y[static_cast<size_t>(i * y_stride + r)]);
      if (!(off <= error)) error = std::isnan(off) ? INFINITY : off;
      size = std::fmax(size, std::fabs(want));
    }
  return error / size;
}

// What layers over floats may end with, each value where it is named.
struct End {
  bool bias, adds, gain;
  Activation after;
};
inline constexpr float kAlpha = 0.7f;
inline constexpr End kEnds[] = {{true, false, false, Activation::Identity},
                                {false, true, true, Activation::Identity},
                                {false, false, false, Activation::Gelu},
                                {true, true, false, Activation::Elu},
                                {true, true, true, Activation::Relu}};

// A layer's end, and what it makes of sums.
struct Ended {
  Ended(const End& what, int64_t rows) : end(what), bias(normal(rows)), gain(normal(rows)) {}
  void set(Linear& a) const {
    a.bias = end.bias ? bias.data() : nullptr;
    a.gain = end.gain ? gain.data() : nullptr;
    a.after = end.after;
    a.alpha = kAlpha;
  }
  std::string name() const {
    return std::string(end.bias ? ", biased" : "") + (end.gain ? ", scaled" : "") + (end.adds ? ", added" : "") +
           (end.after == Activation::Identity ? "" : ", activated " + std::to_string(static_cast<int>(end.after)));
  }
  // The largest difference of y [n, stride] from what those of a layer without an end become on top of `before`.
  double error(const Floats& sums, const Floats& before, const Floats& y, int n, int64_t rows, int64_t stride) const {
    double most = 0;
    for (int i = 0; i < n; ++i)
      for (int64_t r = 0; r < rows; ++r) {
        const auto at = static_cast<size_t>(i * stride + r), row = static_cast<size_t>(r);
        const float sum = sums[at] + (end.bias ? bias[row] : 0.0f);
        const double v = end.adds ? std::fma(sum, end.gain ? gain[row] : 1.0f, before[at]) : sum;
        const double want = end.after == Activation::Elu    ? (v > 0 ? v : kAlpha * std::expm1(v))
                            : end.after == Activation::Gelu ? 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)))
                            : end.after == Activation::Relu ? std::fmax(v, 0)
                                                            : v;
        const double off = std::fabs(want - y[at]) / std::fmax(1, std::fabs(v));
        if (!(off <= most)) most = std::isnan(off) ? INFINITY : off;
      }
    return most;
  }

  End end;
  Floats bias, gain;
};

}  // namespace moshi
