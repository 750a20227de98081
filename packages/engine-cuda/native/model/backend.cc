#include "model/backend.h"

#include <atomic>

#include "model/workspace.h"

namespace moshi {

uint64_t unique_number() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

void Backend::embed_sum(std::span<const Lookup> tables, const int32_t* ids, int64_t id_stride, float* y, int64_t n) {
  for (const Lookup& one : tables) embed(one.table, ids + one.place, id_stride, y, n, &one != tables.data());
}

void Backend::linear_with(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t n,
                          const LinearEnd& end) {
  Working memory(*this);
  float* sums = end.adds ? memory.floats(n * w.rows) : y;
  linear(w, x, x_stride, sums, w.rows, n, false);
  if (end.bias) add_bias(sums, end.bias, n, w.rows);
  if (end.adds) add_scaled(y, sums, end.scale, n, w.rows);
  if (end.after != Activation::Identity) activate(end.after, y, y, n * w.rows, end.alpha);
}

std::vector<uint64_t> program_key(std::initializer_list<uint64_t> numbers, std::initializer_list<const void*> places,
                                  const Rows& rows) {
  std::vector<uint64_t> key(numbers);
  for (const void* place : places) key.push_back(reinterpret_cast<uint64_t>(place));
  for (const void* place : {static_cast<const void*>(rows.data), static_cast<const void*>(rows.rotations),
                            static_cast<const void*>(rows.sines)})
    key.push_back(reinterpret_cast<uint64_t>(place));
  return key;
}

void Backend::linear_of_norm(const Matrix& w, const Norm& norm, const float* x, float* y, int64_t n, Activation after) {
  Working memory(*this);
  float* normed = memory.floats(n * w.cols);
  this->norm(norm, x, normed, n, w.cols);
  linear_with(w, normed, w.cols, y, n, {.after = after});
}

void Backend::add_linear(const Matrix& w, const float* x, const float* scale, float* y, int64_t n) {
  linear_with(w, x, w.cols, y, n, {.adds = true, .scale = scale});
}

void Backend::add_linear_of_attention(const Matrix& w, const AttentionShape& shape, int layer, const float* qkv,
                                      const Rows& rows, const float* scale, float* y) {
  Working memory(*this);
  float* attended = memory.floats(rows.count() * shape.q_width());
  attend(shape, layer, qkv, attended, rows);
  add_linear(w, attended, scale, y, rows.count());
}

void Backend::add_linear_of_gate(const Matrix& w, Activation kind, const float* x, const float* scale, float* y,
                                 int64_t n) {
  Working memory(*this);
  float* gated = memory.floats(n * w.cols);
  gate(kind, x, gated, n, w.cols);
  add_linear(w, gated, scale, y, n);
}

void Backend::window_of_activation(Activation kind, float alpha, const ConvWindow& shape, const Streams& streams,
                                   const float* x, float* out) {
  const int64_t count = streams.count() * shape.time * shape.channels;
  Working memory(*this);
  float* activated = memory.floats(count);
  activate(kind, x, activated, count, alpha);
  window(shape, streams, activated, out);
}

void Backend::take_nearest(const Matrix& table, float* x, int32_t* codes, int64_t stride, int64_t n) {
  Working memory(*this);
  float* found = memory.floats(n * table.cols);
  nearest(table, x, codes, stride, n);
  embed(table, codes, stride, found, n, false);
  subtract(x, found, n * table.cols);
}

}  // namespace moshi
