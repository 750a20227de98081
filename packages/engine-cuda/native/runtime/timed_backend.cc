#include "runtime/timed_backend.h"

#include <string_view>

#include "core/error.h"
#include "model/kv_cache.h"

namespace moshi {

Cost& Cost::operator+=(const Cost& other) {
  seconds += other.seconds;
  weight_bytes += other.weight_bytes;
  kv_bytes += other.kv_bytes;
  multiply_adds += other.multiply_adds;
  return *this;
}

Cost Costs::total(Kind kind) const {
  Cost out;
  for (const auto& kinds : by) out += kinds[static_cast<size_t>(kind)];
  return out;
}

Cost Costs::total() const {
  Cost out;
  for (const Kind kind : {Kind::Linear, Kind::Attention, Kind::Rest}) out += total(kind);
  return out;
}

void TimedBackend::begin(Part part) {
  costs_ = {};
  counting_ = true;
  part_ = part;
  last_ = Clock::now();
}

void TimedBackend::enter(Part part) {
  spend(part_, Kind::Rest, Clock::now());
  part_ = part;
}

Costs TimedBackend::end() {
  enter(part_);
  counting_ = false;
  return costs_;
}

void TimedBackend::spend(Part part, Kind kind, Clock::time_point until) {
  costs_.by[static_cast<size_t>(part)][static_cast<size_t>(kind)].seconds +=
      std::chrono::duration<double>(until - last_).count();
  last_ = until;
}

Matrix TimedBackend::labelled(Matrix matrix) {
  packed_ += matrix.bytes;
  if (const int number = reading_.load(); number >= 0) label_of_[matrix.data.get()] = number;
  return matrix;
}

const Part* TimedBackend::label(const Matrix& matrix) const {
  const auto it = label_of_.find(matrix.data.get());
  return it == label_of_.end() ? nullptr : &labels_[static_cast<size_t>(it->second)];
}

template <typename Run>
void TimedBackend::timed(Kind kind, const Matrix* matrix, const Cost& cost, Run run) {
  if (within_.load(std::memory_order_relaxed)) return run();
  const Part* of = matrix ? label(*matrix) : nullptr;
  // What lies between two operations is the loop around the model.
  spend(part_, Kind::Rest, Clock::now());
  if (of) part_ = *of;
  // Only lookups are the embeddings': what follows them belongs to the first layer.
  if (!of && part_ == Part::Embeddings) part_ = Part::Temporal;
  run();
  spend(part_, kind, Clock::now());
  Cost& sum = costs_.by[static_cast<size_t>(part_)][static_cast<size_t>(kind)];
  sum.weight_bytes += cost.weight_bytes;
  sum.kv_bytes += cost.kv_bytes;
  sum.multiply_adds += cost.multiply_adds;
}

Matrix TimedBackend::pack(const StoredMatrix& stored) {
  return labelled(inner_.pack(stored));
}

Matrix TimedBackend::pack_table(StoredMatrix stored) {
  return labelled(inner_.pack_table(std::move(stored)));
}

void TimedBackend::linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                          bool add) {
  const Cost cost{0, w.bytes, 0, static_cast<double>(n) * static_cast<double>(w.rows * w.cols)};
  timed(Kind::Linear, &w, cost, [&] { inner_.linear(w, x, x_stride, y, y_stride, n, add); });
}

void TimedBackend::embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) {
  const Cost cost{0, static_cast<uint64_t>(n) * (table.bytes / static_cast<uint64_t>(table.rows)), 0, 0};
  timed(Kind::Rest, &table, cost, [&] { inner_.embed(table, ids, id_stride, y, n, add); });
}

void TimedBackend::norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) {
  timed(Kind::Rest, nullptr, {}, [&] { inner_.norm(norm, x, y, n, dim); });
}

void TimedBackend::activate(Activation kind, const float* x, float* y, int64_t count, float alpha) {
  timed(Kind::Rest, nullptr, {}, [&] { inner_.activate(kind, x, y, count, alpha); });
}

void TimedBackend::gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) {
  timed(Kind::Rest, nullptr, {}, [&] { inner_.gate(kind, x, y, n, h); });
}

void TimedBackend::add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) {
  timed(Kind::Rest, nullptr, {}, [&] { inner_.add_scaled(x, update, scale, n, dim); });
}

void TimedBackend::add_bias(float* y, const float* bias, int64_t n, int64_t dim) {
  timed(Kind::Rest, nullptr, {}, [&] { inner_.add_bias(y, bias, n, dim); });
}

void TimedBackend::append(const AttentionShape& shape, int layer, float* qkv, const Rows& rows) {
  timed(Kind::Attention, nullptr, {}, [&] { inner_.append(shape, layer, qkv, rows); });
}

void TimedBackend::attend(const AttentionShape& shape, int layer, const float* qkv, float* out, const Rows& rows) {
  Cost cost;
  for (const Row& row : rows.host) {
    const auto seen = static_cast<uint64_t>(row.position - row.first + 1);
    const KvCache& cache = *row.cache;
    // Keys and values of one position in one layer.
    cost.kv_bytes += seen * (cache.page_bytes() / static_cast<uint64_t>(cache.page() * cache.layers()));
    cost.multiply_adds += static_cast<double>(seen) * 2 * static_cast<double>(shape.q_width());
  }
  timed(Kind::Attention, nullptr, cost, [&] { inner_.attend(shape, layer, qkv, out, rows); });
}

void TimedBackend::nearest(const Matrix& table, const float* x, int32_t* codes, int64_t stride, int64_t n) {
  const Cost cost{0, table.bytes, 0, static_cast<double>(n) * static_cast<double>(table.rows * table.cols)};
  timed(Kind::Rest, &table, cost, [&] { inner_.nearest(table, x, codes, stride, n); });
}

void TimedBackend::draw(const DrawData* rows, const int32_t* recent, float* logits, int64_t n, int64_t card,
                        int32_t* drawn, int32_t* taken) {
  spend(part_, Kind::Rest, Clock::now());
  inner_.draw(rows, recent, logits, n, card, drawn, taken);
  spend(Part::Sampling, Kind::Rest, Clock::now());
}

void TimedBackend::share(int64_t count, const std::function<void(int64_t begin, int64_t end)>& task) {
  timed(Kind::Rest, nullptr, {}, [&] {
    within_ = true;
    inner_.share(count, task);
    within_ = false;
  });
}

LabelledFile::LabelledFile(const TensorFile& file, TimedBackend& backend) : file_(file), backend_(backend) {
  const auto begins = [](std::string_view name, std::string_view with) { return name.substr(0, with.size()) == with; };
  for (const auto& [name, info] : file.tensors()) {
    const Part part = begins(name, "transformer.")                              ? Part::Temporal
                      : begins(name, "depformer") || begins(name, "linears.")   ? Part::Depth
                      : begins(name, "text_linear") || begins(name, "extra_he") ? Part::TextHead
                                                                                : Part::Embeddings;
    label_at_[info.offset] = static_cast<int>(backend.labels_.size());
    backend.labels_.push_back(part);
  }
}

void LabelledFile::read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const {
  const auto it = label_at_.find(info.offset);
  backend_.reading_ = it == label_at_.end() ? -1 : it->second;
  file_.read(info, from, out, bytes);
}

}  // namespace moshi
