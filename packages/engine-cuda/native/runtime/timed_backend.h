// A backend that passes everything on to another and notes what it cost: time, bytes of weights and of memory read,
// and multiply-adds, by what part of the model asked. For benches: a conversation runs without it. On a GPU, which
// works on while the host asks for more, the times mean nothing; the bytes are right.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "files/tensor_file.h"
#include "model/backend.h"

namespace moshi {

enum class Part : uint8_t {
  Embeddings,
  Temporal,
  TextHead,
  Depth,
  Sampling,
  Convolutions,
  CodecTransformer,
  Quantizer
};
inline constexpr size_t kParts = 8;

enum class Kind : uint8_t { Linear, Attention, Rest };
inline constexpr size_t kKinds = 3;

struct Cost {
  double seconds = 0;
  uint64_t weight_bytes = 0, kv_bytes = 0;
  double multiply_adds = 0;
  Cost& operator+=(const Cost& other);
};

struct Costs {
  std::array<std::array<Cost, kKinds>, kParts> by{};
  const Cost& of(Part part, Kind kind) const { return by[static_cast<size_t>(part)][static_cast<size_t>(kind)]; }
  Cost total() const;
  Cost total(Kind kind) const;  // of all parts
};

class TimedBackend : public Backend {
 public:
  explicit TimedBackend(Backend& inner) : inner_(inner) {}

  // Costs count from here to end(); the first are of `part`, until a matrix of another one is used. Meanwhile no
  // program is played from a recording, since what is played is not seen.
  void begin(Part part);
  // The time since the last operation is this part's too.
  void enter(Part part);
  Costs end();
  // Bytes of all that was packed.
  uint64_t packed() const { return packed_; }

  std::string name() const override { return inner_.name(); }
  Buffer allocate(size_t floats) override { return inner_.allocate(floats); }
  void copy_bytes(void* to, const void* from, size_t bytes) override { inner_.copy_bytes(to, from, bytes); }
  void write_bytes(void* to, const void* host, size_t bytes) override { inner_.write_bytes(to, host, bytes); }
  void read_bytes(void* host, const void* from, size_t bytes) override { inner_.read_bytes(host, from, bytes); }
  void copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows) override {
    inner_.copy_rows(to, to_pitch, from, from_pitch, width, rows);
  }
  Workspace& workspace() override { return inner_.workspace(); }
  Matrix pack(const StoredMatrix& stored) override;
  Matrix pack_table(StoredMatrix stored) override;
  void linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
              bool add) override;
  void embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) override;
  void norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) override;
  void activate(Activation kind, const float* x, float* y, int64_t count, float alpha) override;
  void gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) override;
  void add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) override;
  void add_bias(float* y, const float* bias, int64_t n, int64_t dim) override;
  // Moves of memory are a stage's rest, like the loop around them.
  void subtract(float* x, const float* y, int64_t count) override { inner_.subtract(x, y, count); }
  void clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t n, int64_t dim) override {
    inner_.clear_absent(ids, id_stride, y, n, dim);
  }
  bool unfolds() const override { return inner_.unfolds(); }
  void window(const ConvWindow& shape, const Streams& streams, const float* x, float* out) override {
    inner_.window(shape, streams, x, out);
  }
  void scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                      int64_t channels) override {
    inner_.scale_channels(x, weight, out, rows, taps, channels);
  }
  void overlap_add(const ConvOverlap& shape, const Streams& streams, const float* columns, const float* bias,
                   float* y) override {
    inner_.overlap_add(shape, streams, columns, bias, y);
  }
  void append(const AttentionShape& shape, int layer, float* qkv, const Rows& rows) override;
  void attend(const AttentionShape& shape, int layer, const float* qkv, float* out, const Rows& rows) override;
  // Where nothing is counted a device does in one step what it can.
  void embed_sum(std::span<const Lookup> tables, const int32_t* ids, int64_t id_stride, float* y, int64_t n) override {
    counting_ ? Backend::embed_sum(tables, ids, id_stride, y, n) : inner_.embed_sum(tables, ids, id_stride, y, n);
  }
  void linear_with(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t n,
                   const LinearEnd& end) override {
    counting_ ? Backend::linear_with(w, x, x_stride, y, n, end) : inner_.linear_with(w, x, x_stride, y, n, end);
  }
  void linear_of_norm(const Matrix& w, const Norm& norm, const float* x, float* y, int64_t n,
                      Activation after) override {
    counting_ ? Backend::linear_of_norm(w, norm, x, y, n, after) : inner_.linear_of_norm(w, norm, x, y, n, after);
  }
  void add_linear_of_attention(const Matrix& w, const AttentionShape& shape, int layer, const float* qkv,
                               const Rows& rows, const float* scale, float* y) override {
    counting_ ? Backend::add_linear_of_attention(w, shape, layer, qkv, rows, scale, y)
              : inner_.add_linear_of_attention(w, shape, layer, qkv, rows, scale, y);
  }
  void add_linear_of_gate(const Matrix& w, Activation kind, const float* x, const float* scale, float* y,
                          int64_t n) override {
    counting_ ? Backend::add_linear_of_gate(w, kind, x, scale, y, n)
              : inner_.add_linear_of_gate(w, kind, x, scale, y, n);
  }
  void window_of_activation(Activation kind, float alpha, const ConvWindow& shape, const Streams& streams,
                            const float* x, float* out) override {
    counting_ ? Backend::window_of_activation(kind, alpha, shape, streams, x, out)
              : inner_.window_of_activation(kind, alpha, shape, streams, x, out);
  }
  void nearest(const Matrix& table, const float* x, int32_t* codes, int64_t stride, int64_t n) override;
  void take_nearest(const Matrix& table, float* x, int32_t* codes, int64_t stride, int64_t n) override {
    counting_ ? Backend::take_nearest(table, x, codes, stride, n) : inner_.take_nearest(table, x, codes, stride, n);
  }
  void draw(const DrawData* rows, const int32_t* recent, float* logits, int64_t n, int64_t card, int32_t* drawn,
            int32_t* taken) override;
  void share(int64_t count, const std::function<void(int64_t begin, int64_t end)>& task) override;
  void program(std::span<const uint64_t> key, const std::function<void()>& body) override {
    counting_ ? body() : inner_.program(key, body);
  }
  std::optional<Tuned> tune(const std::function<double()>& time) override { return inner_.tune(time); }
  void each(int64_t count, const std::function<void(int64_t)>& task) override { inner_.each(count, task); }

 private:
  friend class LabelledFile;
  using Clock = std::chrono::steady_clock;
  Matrix labelled(Matrix matrix);
  const Part* label(const Matrix& matrix) const;
  void spend(Part part, Kind kind, Clock::time_point until);
  // Runs an operation of the current part, or of that of `matrix`.
  template <typename Run>
  void timed(Kind kind, const Matrix* matrix, const Cost& cost, Run run);

  Backend& inner_;
  std::atomic<int> reading_{-1};  // of the tensor that was last read: its label's number
  std::vector<Part> labels_;
  std::unordered_map<const void*, int> label_of_;
  uint64_t packed_ = 0;

  Costs costs_;
  bool counting_ = false;
  Part part_ = Part::Embeddings;
  Clock::time_point last_;
  std::atomic<bool> within_{false};  // share(): its tasks' operations are not told apart
};

// A file of a language model that tells the backend what is packed is for.
class LabelledFile : public TensorFile {
 public:
  LabelledFile(const TensorFile& file, TimedBackend& backend);

  const std::string& path() const override { return file_.path(); }
  const std::map<std::string, TensorInfo>& tensors() const override { return file_.tensors(); }
  void read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const override;

 private:
  const TensorFile& file_;
  TimedBackend& backend_;
  std::map<uint64_t, int> label_at_;  // by offset
};

}  // namespace moshi
