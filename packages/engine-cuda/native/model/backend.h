// The operations a model is made of. model/ is written once against this; cpu/ (and cuda/) implement it.
// All activations are float32, row-major; a shape like [n, dim] means n rows of dim values.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace moshi {

// Memory on the backend's device. Fresh memory reads as zeros; pages are only taken when first written.
class Buffer {
 public:
  Buffer() = default;
  Buffer(float* data, size_t count, std::function<void(float*)> release)
      : data_(data, std::move(release)), count_(count) {}
  float* data() const { return data_.get(); }
  size_t count() const { return count_; }

 private:
  std::shared_ptr<float> data_;
  size_t count_ = 0;
};

// A weight matrix [rows, cols] in whatever form the backend packs it. Copies share the storage.
struct Matrix {
  std::shared_ptr<const std::vector<char>> storage;
  const char* data = nullptr;
  DType type = DType::F32;
  int64_t rows = 0, cols = 0;
  explicit operator bool() const { return data != nullptr; }
  // Rows [begin, begin + count), sharing the storage: the published depth weights stack one matrix a codebook.
  Matrix slice(int64_t begin, int64_t count) const {
    Matrix part = *this;
    part.data = data + begin * cols * dtype_bytes(type);
    part.rows = count;
    return part;
  }
};

enum class Activation : uint8_t { Identity, Elu, Gelu, Silu, Relu, Sigmoid, Tanh };
enum class NormKind : uint8_t { Layer, Rms };

struct Norm {
  NormKind kind = NormKind::Layer;
  float eps = 1e-5f;
  std::vector<float> weight, bias;  // bias is empty for RMS
};

// Keys and values of one session for all layers of one transformer: a ring over positions.
class KvCache {
 public:
  KvCache() = default;
  KvCache(Buffer memory, int layers, int64_t capacity, int64_t width)
      : memory_(std::move(memory)), layers_(layers), capacity_(capacity), width_(width) {}
  static size_t floats(int layers, int64_t capacity, int64_t width) {
    return static_cast<size_t>(layers) * 2 * static_cast<size_t>(capacity) * static_cast<size_t>(width);
  }
  int64_t capacity() const { return capacity_; }
  int layers() const { return layers_; }
  int64_t width() const { return width_; }
  // [capacity, width], position p at row p % capacity.
  float* keys(int layer) const { return memory_.data() + static_cast<int64_t>(layer) * 2 * capacity_ * width_; }
  float* values(int layer) const { return keys(layer) + capacity_ * width_; }

 private:
  Buffer memory_;
  int layers_ = 0;
  int64_t capacity_ = 0, width_ = 0;
};

// One row of a transformer call: which session's ring it belongs to, its position, and the oldest position it may see.
struct Row {
  KvCache* cache;
  int64_t position;
  int64_t first;
};

struct AttentionShape {
  int heads, kv_heads, head_dim;
  bool rope;              // rotate queries and keys by position
  bool rope_interleaved;  // pairs (2i, 2i+1), else (i, i + head_dim / 2)
  float max_period;
  int64_t q_width() const { return int64_t{heads} * head_dim; }
  int64_t kv_width() const { return int64_t{kv_heads} * head_dim; }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;

  virtual Buffer allocate(size_t floats) = 0;
  // From one place on the device to another.
  virtual void copy(float* to, const float* from, size_t floats) = 0;
  // Takes the stored bytes of a [rows, cols] matrix and packs them for linear() and embed().
  virtual Matrix pack(DType type, int64_t rows, int64_t cols, std::vector<char> bytes) = 0;

  // y[i] = w x[i] (+ y[i] when add); x rows are x_stride apart and may overlap, which makes a convolution a linear
  // layer.
  virtual void linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                      bool add) = 0;
  // y[i] (+)= table[ids[i * id_stride]]; id -1 stands for zeros.
  virtual void embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) = 0;
  virtual void norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) = 0;
  // alpha is ELU's.
  virtual void activate(Activation kind, const float* x, float* y, int64_t count, float alpha = 1) = 0;
  // y[n, h] = act(x[:, :h]) * x[:, h:] for x [n, 2h].
  virtual void gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) = 0;
  // x[n, dim] += scale[dim] * update[n, dim]; a null scale means 1.
  virtual void add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) = 0;
  // y[n, dim] += bias[dim].
  virtual void add_bias(float* y, const float* bias, int64_t n, int64_t dim) = 0;
  // qkv [n, q + 2 kv]: rotates q in place, appends k and v to each row's ring.
  virtual void append(const AttentionShape& shape, int layer, float* qkv, std::span<const Row> rows) = 0;
  // out [n, q] = softmax(q kᵀ / √head_dim) v over the positions each row may see.
  virtual void attend(const AttentionShape& shape, int layer, const float* qkv, float* out,
                      std::span<const Row> rows) = 0;
  // codes[i] = the row of table [bins, dim] nearest to x[i] in Euclidean distance, the first among equals.
  virtual void nearest(const Matrix& table, const float* x, int32_t* codes, int64_t n) = 0;
};

// Working memory that is kept between calls and only ever grows. A model is driven by one thread, so it needs no lock.
class Scratch {
 public:
  float* get(Backend& backend, int64_t count) {
    if (static_cast<size_t>(count) > buffer_.count()) buffer_ = backend.allocate(static_cast<size_t>(count));
    return buffer_.data();
  }

 private:
  Buffer buffer_;
};

}  // namespace moshi
