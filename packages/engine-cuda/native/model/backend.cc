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

void Backend::linear_of_norm(const Matrix& w, const Norm& norm, const float* x, float* y, int64_t n) {
  Working memory(*this);
  float* normed = memory.floats(n * w.cols);
  this->norm(norm, x, normed, n, w.cols);
  linear(w, normed, w.cols, y, w.rows, n, false);
}

void Backend::add_linear(const Matrix& w, const float* x, const float* scale, float* y, int64_t n) {
  Working memory(*this);
  float* update = memory.floats(n * w.rows);
  linear(w, x, w.cols, update, w.rows, n, false);
  add_scaled(y, update, scale, n, w.rows);
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

}  // namespace moshi
