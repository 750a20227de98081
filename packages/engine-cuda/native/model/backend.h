// The operations a model is made of. model/ is written once against this; cpu/ (and cuda/) implement it.
// All activations are float32, row-major; a shape like [n, dim] means n rows of dim values.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/activation.h"
#include "core/dtype.h"
#include "model/device_data.h"

namespace moshi {

// Memory on the backend's device. Fresh memory reads as zeros; the system gives it only when it is first written.
class Buffer {
 public:
  Buffer() = default;
  Buffer(float* data, size_t count, std::function<void(float*)> release)
      : data_(data, std::move(release)), count_(count) {}
  explicit operator bool() const { return data_ != nullptr; }
  float* data() const { return data_.get(); }
  size_t count() const { return count_; }

 private:
  std::shared_ptr<float> data_;
  size_t count_ = 0;
};

// A weight matrix [rows, cols] as files hold it, row-major.
struct StoredMatrix {
  DType type = DType::F32;  // F32, F16, BF16, Q8_0, Q4_0, Q4_K, I8 or U8
  int64_t rows = 0, cols = 0;
  std::vector<char> bytes;  // rows of elements or blocks; the last block of a row may reach beyond cols
  // I8: scales [rows], value = scale * code. U8: scales and offsets [rows, cols / group], value = scale * code +
  // offset.
  std::vector<float> scales, offsets;
  int64_t group = 0;
  int bits = 8;  // U8: codes fit into so many, 4 or 8
};

// A weight matrix [rows, cols] in whatever form the backend packs it. Copies share the storage.
struct Matrix {
  std::shared_ptr<const char> data;
  DType type = DType::F32;
  int64_t rows = 0, cols = 0;
  size_t bytes = 0;    // what it takes
  bool table = false;  // row-major, for embed() alone
  int64_t group = 0;   // U8: columns that share a scale
  int bits = 8;        // U8: of a code
  explicit operator bool() const { return data != nullptr; }
};

// What becomes of a linear layer's sums, in this order.
struct LinearEnd {
  const float* bias = nullptr;   // [rows], added to them
  bool adds = false;             // they go on top of what y holds
  const float* scale = nullptr;  // [rows], of what goes on top; null means 1
  Activation after = Activation::Identity;
  float alpha = 1;  // ELU's
};

// One of the tables that are looked up together, and where its id is among those of a row.
struct Lookup {
  Matrix table;
  int64_t place;
};

enum class NormKind : uint8_t { Layer, Rms };

struct Norm {
  NormKind kind = NormKind::Layer;
  float eps = 1e-5f;
  Buffer weight, bias;  // bias is null for RMS
};

class KvCache;
class Workspace;

// One row of a transformer call: which session's ring it belongs to, its position, and the oldest position it may see.
struct Row {
  KvCache* cache;
  int64_t position;
  int64_t first;
};

// The rows of a call, laid down on the device by Transformer::place().
struct Rows {
  std::span<const Row> host;
  const RowData* data = nullptr;     // [rows]
  const float* rotations = nullptr;  // [rows, head_dim / 2, 2]: cosines and sines; null without rope
  const float* sines = nullptr;      // [rows, dim]: what sinusoidal positions add; null without
  int64_t rotation = 0, sine = 0;    // values of a row
  int64_t count() const { return static_cast<int64_t>(host.size()); }
  // `count` of them from `begin` on.
  Rows part(int64_t begin, int64_t count) const {
    return {host.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
            data + begin,
            rotations ? rotations + begin * rotation : nullptr,
            sines ? sines + begin * sine : nullptr,
            rotation,
            sine};
  }
};

// The sessions of a codec's call and what their convolutions remember, laid down on the device.
struct Streams {
  std::span<const StreamData> host;
  const StreamData* data = nullptr;  // [streams]
  int64_t count() const { return static_cast<int64_t>(host.size()); }
};

struct AttentionShape {
  int heads, kv_heads, head_dim;
  bool rope;              // rotate queries and keys by position
  bool rope_interleaved;  // pairs (2i, 2i+1), else (i, i + head_dim / 2)
  float max_period;
  int64_t q_width() const { return int64_t{heads} * head_dim; }
  int64_t kv_width() const { return int64_t{kv_heads} * head_dim; }
};

// A convolution's window over rows of `channels`: `past` of them remembered, then `time` new ones. Unfolded, each
// output's taps are laid side by side; otherwise it is the sequence itself.
struct ConvWindow {
  int64_t offset;  // floats into a stream's memory, [past, channels]
  int64_t past, time, channels;
  int taps, stride, dilation;
  bool replicate;  // a fresh stream's past is its first input over and over, instead of zeros
  bool unfolded;
  int64_t steps() const { return time / stride; }
  // Floats that a stream's window takes, and how far the inputs of one output are from those of the next.
  int64_t size() const { return unfolded ? steps() * taps * channels : (past + time) * channels; }
  int64_t row() const { return (unfolded ? taps : stride) * channels; }
};

// How the columns [time, taps, channels] of a transposed convolution become its outputs [time * stride, channels].
struct ConvOverlap {
  int64_t offset;  // floats into a stream's memory, [taps - stride, channels]
  int64_t time, channels;
  int taps, stride;
};

// A number that nothing else has, for the keys of programs: another model may come to lie at the same address.
uint64_t unique_number();

// A key for Backend::program(): numbers, and where on the device things lie, the rows of transformers among them.
std::vector<uint64_t> program_key(std::initializer_list<uint64_t> numbers, std::initializer_list<const void*> places,
                                  const Rows& rows);

// Two ways to do the same, and which of them was the faster one here; milliseconds.
struct Tuned {
  bool together = false;  // small operations are one launch
  double together_ms = 0, apart_ms = 0;
};

// Pointers to activations, ids and what of this kind there is are the device's, unless a host's is asked for.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;

  virtual Buffer allocate(size_t floats) = 0;
  // From one place on the device to another; to the device; and back.
  virtual void copy_bytes(void* to, const void* from, size_t bytes) = 0;
  virtual void write_bytes(void* to, const void* host, size_t bytes) = 0;
  virtual void read_bytes(void* host, const void* from, size_t bytes) = 0;
  // rows of `width` bytes, so far apart.
  virtual void copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows) = 0;
  template <typename T>
  void copy(T* to, const T* from, int64_t count) {
    copy_bytes(to, from, static_cast<size_t>(count) * sizeof(T));
  }
  template <typename T>
  void write(T* to, const T* host, int64_t count) {
    write_bytes(to, host, static_cast<size_t>(count) * sizeof(T));
  }
  template <typename T>
  void read(T* host, const T* from, int64_t count) {
    read_bytes(host, from, static_cast<size_t>(count) * sizeof(T));
  }
  // Null for nothing.
  Buffer upload(std::span<const float> values) {
    if (values.empty()) return {};
    Buffer out = allocate(values.size());
    write(out.data(), values.data(), static_cast<int64_t>(values.size()));
    return out;
  }
  // The calling thread's.
  virtual Workspace& workspace() = 0;
  // Packs a matrix for linear().
  virtual Matrix pack(const StoredMatrix& stored) = 0;
  // Packs a matrix of which only rows are looked up, by embed(): floats or Q8_0.
  virtual Matrix pack_table(StoredMatrix stored) = 0;

  // y[i] = w x[i] (+ y[i] when add); x rows are x_stride apart and may overlap, which makes a convolution a linear
  // layer.
  virtual void linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                      bool add) = 0;
  // y[i] (+)= table[ids[i * id_stride]]; id -1 stands for zeros. The table may also be a packed F32 matrix.
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
  // x -= y.
  virtual void subtract(float* x, const float* y, int64_t count) = 0;
  // Zeroes y[i] where ids[i * id_stride] is -1.
  virtual void clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t n, int64_t dim) = 0;
  // Whether windows are always to be unfolded.
  virtual bool unfolds() const { return false; }
  // Memories and x [streams, time, channels] → out [streams, shape.size()]; a memory then holds its last `past` rows.
  virtual void window(const ConvWindow& shape, const Streams& streams, const float* x, float* out) = 0;
  // out [rows, taps, channels] = x [rows, channels] * weight [taps, channels].
  virtual void scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                              int64_t channels) = 0;
  // y [streams, time * stride, channels] = the memories, and row t of columns [streams, time, taps, channels] from
  // t * stride on, summed; what reaches beyond y becomes the memory. A fresh stream's counts as zeros. A bias
  // [channels], or null, is added to y at last.
  virtual void overlap_add(const ConvOverlap& shape, const Streams& streams, const float* columns, const float* bias,
                           float* y) = 0;
  // qkv [n, q + 2 kv]: rotates q in place, appends k and v to each row's ring.
  virtual void append(const AttentionShape& shape, int layer, float* qkv, const Rows& rows) = 0;
  // out [n, q] = softmax(q kᵀ / √head_dim) v over the positions each row may see.
  virtual void attend(const AttentionShape& shape, int layer, const float* qkv, float* out, const Rows& rows) = 0;
  // Operations for which a device may have one step: by themselves they are those above.
  // y[i] = Σ table[ids[i * id_stride + place]] over all tables, added in their order; all have rows of the same width.
  virtual void embed_sum(std::span<const Lookup> tables, const int32_t* ids, int64_t id_stride, float* y, int64_t n);
  // y[n, w.rows] = after(w x[n] + bias), or, where that adds, after(y[n] + scale * (w x[n] + bias)).
  virtual void linear_with(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t n,
                           const LinearEnd& end);
  // y[n] = after(w norm(x[n])).
  virtual void linear_of_norm(const Matrix& w, const Norm& norm, const float* x, float* y, int64_t n,
                              Activation after = Activation::Identity);
  // y[n] += scale * w x[n]; a null scale means 1.
  virtual void add_linear(const Matrix& w, const float* x, const float* scale, float* y, int64_t n);
  // y[n] += scale * w attend(qkv[n]).
  virtual void add_linear_of_attention(const Matrix& w, const AttentionShape& shape, int layer, const float* qkv,
                                       const Rows& rows, const float* scale, float* y);
  // y[n] += scale * w (act(x[:, :h]) * x[:, h:]) for x [n, 2h].
  virtual void add_linear_of_gate(const Matrix& w, Activation kind, const float* x, const float* scale, float* y,
                                  int64_t n);
  // The window of act(x), which is also what the memories then hold.
  virtual void window_of_activation(Activation kind, float alpha, const ConvWindow& shape, const Streams& streams,
                                    const float* x, float* out);
  // codes[i * stride] = the row of a packed F32 matrix [bins, dim] nearest to x[i] in Euclidean distance, the first
  // among equals.
  virtual void nearest(const Matrix& table, const float* x, int32_t* codes, int64_t stride, int64_t n) = 0;
  // The same, and what was found is taken off x [n, dim].
  virtual void take_nearest(const Matrix& table, float* x, int32_t* codes, int64_t stride, int64_t n);
  // A token for each row of logits [n, card], which penalties and favors change: what was drawn, and what is taken.
  // `recent` holds the tokens that rows point at.
  virtual void draw(const DrawData* rows, const int32_t* recent, float* logits, int64_t n, int64_t card, int32_t* drawn,
                    int32_t* taken) = 0;

  // Runs body, which does nothing but the operations above from linear() on. The key is all it depends on but what the
  // device's memory holds, so that a device may record it once and repeat it.
  virtual void program(std::span<const uint64_t> key, const std::function<void()>& body) {
    (void)key;
    body();
  }
  // Takes the faster way from here on, where there are two: time() runs steps of a conversation and says what one took.
  virtual std::optional<Tuned> tune(const std::function<double()>& time) {
    (void)time;
    return std::nullopt;
  }
  // task(begin, end) for parts of [0, count), conversations that do not need each other: as many in one part as the
  // device takes at once.
  virtual void share(int64_t count, const std::function<void(int64_t begin, int64_t end)>& task) = 0;
  // task(0) … task(count - 1) on the host in any order, several at once; each may use the host's memory alone.
  virtual void each(int64_t count, const std::function<void(int64_t)>& task) = 0;
};

}  // namespace moshi
