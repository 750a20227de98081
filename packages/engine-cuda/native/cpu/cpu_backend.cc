#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "core/error.h"

namespace moshi {

namespace {

// Below this many multiply-adds waking a thread costs more than it saves.
constexpr int64_t kWorthSplitting = 200'000;

float activation(Activation kind, float v, float alpha = 1) {
  switch (kind) {
    case Activation::Elu:
      return v > 0 ? v : alpha * std::expm1(v);
    case Activation::Gelu:
      return 0.5f * v * (1.0f + std::erf(v * 0.70710678118654752f));
    case Activation::Silu:
      return v / (1.0f + std::exp(-v));
    case Activation::Relu:
      return std::max(v, 0.0f);
    case Activation::Sigmoid:
      return 1.0f / (1.0f + std::exp(-v));
    case Activation::Tanh:
      return std::tanh(v);
    case Activation::Identity:
      break;
  }
  return v;
}

template <typename T>
T element(const Matrix& m, int64_t index) {
  T value;
  std::memcpy(&value, m.data + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

float weight_at(const Matrix& m, int64_t index) {
  switch (m.type) {
    case DType::BF16:
      return bf16_to_float(element<uint16_t>(m, index));
    case DType::F16:
      return f16_to_float(element<uint16_t>(m, index));
    default:
      return element<float>(m, index);
  }
}

}  // namespace

int default_threads() {
  // hardware_concurrency follows affinity and cgroup cpusets; half of it leaves out the hyper-threads on larger
  // machines.
  const int logical = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return logical <= 4 ? logical : logical / 2;
}

Buffer CpuBackend::allocate(size_t floats) {
  // calloc leaves large blocks to the kernel's zero pages, which cost nothing until they are written.
  auto* data = static_cast<float*>(std::calloc(std::max<size_t>(1, floats), sizeof(float)));
  if (!data)
    throw Error(kBadOption, "out of memory: " + std::to_string(floats * sizeof(float) >> 20) + " MB could not be had");
  return Buffer(data, floats, [](float* p) { std::free(p); });
}

void CpuBackend::copy(float* to, const float* from, size_t floats) {
  std::memcpy(to, from, floats * sizeof(float));
}

Matrix CpuBackend::pack(DType type, int64_t rows, int64_t cols, std::vector<char> bytes) {
  auto storage = std::make_shared<const std::vector<char>>(std::move(bytes));
  return {storage, storage->data(), type, rows, cols};
}

void CpuBackend::split(int64_t count, int64_t work, const std::function<void(int64_t, int64_t)>& task) {
  const int64_t parts = work < kWorthSplitting ? 1 : std::min<int64_t>(count, pool_.threads());
  if (parts <= 1) return task(0, count);
  pool_.run(static_cast<int>(parts), [&](int part) { task(count * part / parts, count * (part + 1) / parts); });
}

void CpuBackend::linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                        bool add) {
  const GemmArgs args{w.data, x, x_stride, y, y_stride, w.cols, add};
  const GemmKernel gemm = w.type == DType::BF16  ? kernels_.gemm_bf16
                          : w.type == DType::F16 ? kernels_.gemm_f16
                                                 : kernels_.gemm_f32;
  const int64_t work = n * w.rows * w.cols;
  // Convolutions have many rows and few outputs, single steps the reverse.
  if (n > w.rows) return split(n, work, [&](int64_t begin, int64_t end) { gemm(args, begin, end, 0, w.rows); });
  split((w.rows + 3) / 4, work,
        [&](int64_t begin, int64_t end) { gemm(args, 0, n, 4 * begin, std::min(w.rows, 4 * end)); });
}

void CpuBackend::embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) {
  const int64_t dim = table.cols;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t id = ids[i * id_stride];
    float* row = y + i * dim;
    if (!add) std::fill(row, row + dim, 0.0f);
    if (id == -1) continue;
    if (id < 0 || id >= table.rows)
      throw Error(kBadOption, "token " + std::to_string(id) + " is outside the table of " + std::to_string(table.rows));
    for (int64_t d = 0; d < dim; ++d) row[d] += weight_at(table, id * dim + d);
  }
}

void CpuBackend::norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) {
  for (int64_t i = 0; i < n; ++i, x += dim, y += dim) {
    double mean = 0, square = 0;
    if (norm.kind == NormKind::Layer) {
      for (int64_t d = 0; d < dim; ++d) mean += x[d];
      mean /= static_cast<double>(dim);
    }
    for (int64_t d = 0; d < dim; ++d) square += (x[d] - mean) * (x[d] - mean);
    const float inverse = static_cast<float>(1.0 / std::sqrt(square / static_cast<double>(dim) + norm.eps));
    const float centre = static_cast<float>(mean);
    for (int64_t d = 0; d < dim; ++d) {
      const float scaled = (x[d] - centre) * inverse * norm.weight[static_cast<size_t>(d)];
      y[d] = norm.bias.empty() ? scaled : scaled + norm.bias[static_cast<size_t>(d)];
    }
  }
}

void CpuBackend::activate(Activation kind, const float* x, float* y, int64_t count, float alpha) {
  split(count, count * 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = activation(kind, x[i], alpha);
  });
}

void CpuBackend::gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < h; ++j) y[i * h + j] = activation(kind, x[i * 2 * h + j]) * x[i * 2 * h + h + j];
}

void CpuBackend::add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t d = 0; d < dim; ++d) x[i * dim + d] += scale ? scale[d] * update[i * dim + d] : update[i * dim + d];
}

void CpuBackend::add_bias(float* y, const float* bias, int64_t n, int64_t dim) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t d = 0; d < dim; ++d) y[i * dim + d] += bias[d];
}

void CpuBackend::append(const AttentionShape& shape, int layer, float* qkv, std::span<const Row> rows) {
  const int64_t q_width = shape.q_width(), kv_width = shape.kv_width(), half = shape.head_dim / 2;
  for (const Row& row : rows) {
    float *k = qkv + q_width, *v = k + kv_width;
    if (shape.rope) {
      for (int64_t i = 0; i < half; ++i) {
        // float32 throughout, like the reference: at large positions the rounding of the angle is part of the model.
        const float frequency =
            std::exp(static_cast<float>(i) * (-std::log(shape.max_period) * 2.0f / static_cast<float>(shape.head_dim)));
        const float angle = frequency * static_cast<float>(row.position);
        const float cosine = std::cos(angle), sine = std::sin(angle);
        const int64_t a = shape.rope_interleaved ? 2 * i : i, b = shape.rope_interleaved ? a + 1 : i + half;
        const auto rotate = [&](float* head) {
          const float re = head[a], im = head[b];
          head[a] = re * cosine - im * sine;
          head[b] = re * sine + im * cosine;
        };
        for (int h = 0; h < shape.heads; ++h) rotate(qkv + h * shape.head_dim);
        for (int h = 0; h < shape.kv_heads; ++h) rotate(k + h * shape.head_dim);
      }
    }
    const int64_t at = row.position % row.cache->capacity() * kv_width;
    std::memcpy(row.cache->keys(layer) + at, k, static_cast<size_t>(kv_width) * sizeof(float));
    std::memcpy(row.cache->values(layer) + at, v, static_cast<size_t>(kv_width) * sizeof(float));
    qkv += q_width + 2 * kv_width;
  }
}

void CpuBackend::attend(const AttentionShape& shape, int layer, const float* qkv, float* out,
                        std::span<const Row> rows) {
  const int64_t stride = shape.q_width() + 2 * shape.kv_width();
  int64_t work = 0;
  for (const Row& row : rows) work += (row.position - row.first + 1) * shape.q_width() * 2;
  split(static_cast<int64_t>(rows.size()) * shape.heads, work, [&](int64_t begin, int64_t end) {
    std::vector<float> scores;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t i = item / shape.heads, head = item % shape.heads;
      const Row& row = rows[static_cast<size_t>(i)];
      const int64_t column = head / (shape.heads / shape.kv_heads) * shape.head_dim;
      scores.resize(static_cast<size_t>(row.position - row.first + 1));
      kernels_.attend({qkv + i * stride + head * shape.head_dim, row.cache->keys(layer) + column,
                       row.cache->values(layer) + column, shape.kv_width(), row.cache->capacity(), shape.head_dim,
                       row.first, row.position, scores.data(), out + i * shape.q_width() + head * shape.head_dim});
    }
  });
}

void CpuBackend::nearest(const Matrix& table, const float* x, int32_t* codes, int64_t n) {
  const auto* entries = reinterpret_cast<const float*>(table.data);
  split(n, n * table.rows * table.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      codes[i] = kernels_.nearest(entries, table.rows, table.cols, x + i * table.cols);
  });
}

}  // namespace moshi
