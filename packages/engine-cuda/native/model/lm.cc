#include "model/lm.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "model/workspace.h"

namespace moshi {

Lm::Embedding Lm::load_embedding(const Weights& weights, const std::string& name, int64_t entries, int64_t dim,
                                 int64_t low_rank) const {
  Embedding out;
  out.table = weights.table(name + ".weight", entries, low_rank > 0 ? low_rank : dim);
  if (low_rank > 0) out.low_rank = weights.matrix(name + ".low_rank.weight", dim, low_rank);
  if (config_.norm_embeddings) out.norm = weights.norm(name + ".norm", "layer_norm", out.table.cols);
  return out;
}

Lm::Head Lm::load_head(const Weights& weights, const std::string& name, int64_t out, int64_t in) const {
  Head head{weights.matrix(name + ".weight", out, in), {}};
  if (config_.bias_projections) head.bias = weights.values(name + ".bias", out);
  return head;
}

Lm::Lm(const Weights& weights, const LmConfig& config, bool live, KvType kv)
    : backend_(weights.backend()), config_(config), kv_(kv), temporal_(weights, "transformer", config.temporal) {
  const int64_t dim = config.temporal.dim;
  // One entry more than the vocabulary: the initial token.
  text_embedding_ = load_embedding(weights, "text_emb", config.text_card + 1, dim, 0);
  for (int k = 0; k < config.audio_codebooks; ++k)
    embeddings_.push_back(load_embedding(weights, "emb." + std::to_string(k), config.card + 1, dim, 0));
  if (!config.norm_embeddings) {
    for (const Embedding& one : embeddings_) summed_.push_back({one.table, 1 + static_cast<int64_t>(summed_.size())});
    summed_.push_back({text_embedding_.table, 0});
  }
  out_norm_ = weights.norm("out_norm", config.temporal.norm, dim);
  text_head_ = load_head(weights, "text_linear", config.text_card_out, dim);
  for (int i = 0; i < config.extra_heads; ++i)
    extra_heads_.push_back(weights.matrix("extra_heads." + std::to_string(i) + ".weight", config.extra_heads_dim, dim));
  if (config.generated_codebooks == 0) return;

  const int64_t depth_dim = config.depth.dim;
  const int codebooks =
      live ? std::min(config.own_codebooks(), config.generated_codebooks) : config.generated_codebooks;
  depth_.emplace(weights, "depformer", config.depth,
                 WeightSets{config.depth_weights(config.generated_codebooks), config.depth_weights(codebooks)});
  const int inputs =
      config.depth_multi_linear ? (config.depth_schedule.empty() ? codebooks : config.depth_weights(codebooks)) : 1;
  for (int i = 0; i < inputs; ++i)
    depth_in_.push_back(weights.matrix("depformer_in." + std::to_string(i) + ".weight", depth_dim, dim));
  depth_text_embedding_ =
      load_embedding(weights, "depformer_text_emb", config.text_card + 1, depth_dim, config.depth_low_rank);
  for (int k = 0; k + 1 < codebooks; ++k)
    depth_embeddings_.push_back(load_embedding(weights, "depformer_emb." + std::to_string(k), config.card + 1,
                                               depth_dim, config.depth_low_rank));
  for (int k = 0; k < codebooks; ++k) {
    audio_heads_.push_back(load_head(weights, "linears." + std::to_string(k), config.card, depth_dim));
    if (!config.depth_norm.empty())
      depth_norms_.push_back(weights.norm("depformer_norms." + std::to_string(k), config.depth_norm, depth_dim));
  }
}

void Lm::embed(const Embedding& embedding, const int32_t* ids, int64_t stride, float* y, int64_t n, int64_t dim,
               bool add) const {
  if (!embedding.norm && !embedding.low_rank) return backend_.embed(embedding.table, ids, stride, y, n, add);
  const int64_t width = embedding.table.cols;
  Working memory(backend_);
  float* gathered = memory.floats(n * width);
  backend_.embed(embedding.table, ids, stride, gathered, n, false);
  if (embedding.norm) {
    backend_.norm(*embedding.norm, gathered, gathered, n, width);
    // The zero token stays zero, also behind a norm with a bias.
    backend_.clear_absent(ids, stride, gathered, n, width);
  }
  if (embedding.low_rank) {
    backend_.linear(embedding.low_rank, gathered, width, y, dim, n, add);
  } else if (add) {
    backend_.add_scaled(y, gathered, nullptr, n, dim);
  } else {
    backend_.copy(y, gathered, n * dim);
  }
}

void Lm::project(const Head& head, const float* x, float* y, int64_t n) const {
  backend_.linear_with(head.weight, x, head.weight.cols, y, n, {.bias = head.bias.data()});
}

void Lm::run_temporal(const int32_t* tokens, const Rows& rows, float* x) const {
  const int64_t n = rows.count(), streams = config_.streams();
  // Audio codebooks first, text last: float addition in the reference's order.
  if (!summed_.empty()) {
    backend_.embed_sum(summed_, tokens, streams, x, n);
    return temporal_.forward(x, rows);
  }
  for (int k = 0; k < config_.audio_codebooks; ++k)
    embed(embeddings_[static_cast<size_t>(k)], tokens + 1 + k, streams, x, n, dim(), k > 0);
  embed(text_embedding_, tokens, streams, x, n, dim(), config_.audio_codebooks > 0);
  temporal_.forward(x, rows);
}

void Lm::prefill(const int32_t* tokens, std::span<const Row> rows) const {
  Working memory(backend_);
  const int32_t* placed = memory.placed(std::span(tokens, rows.size() * static_cast<size_t>(config_.streams())));
  run_temporal(placed, temporal_.place(memory, rows), memory.floats(static_cast<int64_t>(rows.size()) * dim()));
}

void Lm::prefill_embedded(const float* embeddings, std::span<const Row> rows) const {
  Working memory(backend_);
  float* x = memory.placed(std::span(embeddings, rows.size() * static_cast<size_t>(dim())));
  temporal_.forward(x, temporal_.place(memory, rows));
}

void Lm::temporal(const int32_t* tokens, std::span<const Row> rows, float* hidden, float* text_logits) const {
  const int64_t n = static_cast<int64_t>(rows.size());
  Working memory(backend_);
  const int32_t* placed = memory.placed(std::span(tokens, rows.size() * static_cast<size_t>(config_.streams())));
  float *top = memory.floats(n * dim()), *logits = memory.floats(n * config_.text_card_out);
  temporal(placed, temporal_.place(memory, rows), top, logits);
  backend_.read(hidden, top, n * dim());
  backend_.read(text_logits, logits, n * config_.text_card_out);
}

void Lm::temporal(const int32_t* tokens, const Rows& rows, float* hidden, float* text_logits) const {
  const int64_t n = rows.count();
  Working memory(backend_);
  float* x = memory.floats(n * dim());
  run_temporal(tokens, rows, x);
  backend_.norm(out_norm_, x, hidden, n, dim());
  project(text_head_, hidden, text_logits, n);
}

void Lm::depth(int codebook, const int32_t* previous, const float* hidden, std::span<const Row> rows,
               float* logits) const {
  const int64_t n = static_cast<int64_t>(rows.size());
  Working memory(backend_);
  const int32_t* tokens = memory.placed(std::span(previous, rows.size()));
  const float* top = memory.placed(std::span(hidden, rows.size() * static_cast<size_t>(dim())));
  float* out = memory.floats(n * config_.card);
  depth(codebook, tokens, top, depth_->place(memory, rows), out);
  backend_.read(logits, out, n * config_.card);
}

void Lm::depth(int codebook, const int32_t* previous, const float* hidden, const Rows& rows, float* logits) const {
  if (codebook < 0 || codebook >= codebooks())
    throw Error(kBadOption, "codebook " + std::to_string(codebook) + " cannot be drawn; " +
                                std::to_string(codebooks()) + " were loaded");
  const int64_t n = rows.count(), width = config_.depth.dim;
  const size_t k = static_cast<size_t>(codebook);
  const int set = config_.depth_weight_index(codebook);
  Working memory(backend_);
  float* x = memory.floats(n * width);
  const size_t in = depth_in_.size() == 1            ? 0
                    : config_.depth_schedule.empty() ? k
                                                     : static_cast<size_t>(config_.depth_schedule[k]);
  // The layer after the table, so that a device meets one layer after the other.
  embed(codebook == 0 ? depth_text_embedding_ : depth_embeddings_[k - 1], previous, 1, x, n, width, false);
  backend_.linear(depth_in_[in], hidden, dim(), x, width, n, true);
  depth_->forward(x, rows, set);
  if (!depth_norms_.empty()) {
    float* normed = memory.floats(n * width);
    backend_.norm(depth_norms_[k], x, normed, n, width);
    x = normed;
  }
  project(audio_heads_[k], x, logits, n);
}

std::vector<float> Lm::extra_heads(const float* hidden) const {
  const size_t width = static_cast<size_t>(config_.extra_heads_dim);
  const auto columns = static_cast<int64_t>(width);
  std::vector<float> out(extra_heads_.size() * width);
  Working memory(backend_);
  const float* top = memory.placed(std::span(hidden, static_cast<size_t>(dim())));
  float* logits = memory.floats(columns);
  for (size_t i = 0; i < extra_heads_.size(); ++i) {
    float* row = out.data() + i * width;
    backend_.linear(extra_heads_[i], top, dim(), logits, columns, 1, false);
    backend_.read(row, logits, columns);
    float most = -INFINITY, total = 0;
    for (size_t d = 0; d < width; ++d) most = std::max(most, row[d]);
    for (size_t d = 0; d < width; ++d) total += row[d] = std::exp(row[d] - most);
    for (size_t d = 0; d < width; ++d) row[d] /= total;
  }
  return out;
}

}  // namespace moshi
