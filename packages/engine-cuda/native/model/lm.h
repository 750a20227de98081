// The language model of one step: embeddings → temporal transformer → text logits, then the depth transformer codebook
// by codebook.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/transformer.h"

namespace moshi {

inline constexpr int32_t kZeroToken = -1;  // no input at this place: a zero embedding

class Lm {
 public:
  // live: what only draws the user's codebooks, which a conversation is always given, is neither read nor kept.
  Lm(const Weights& weights, const LmConfig& config, bool live = false, KvType kv = KvType::F32);

  const LmConfig& config() const { return config_; }
  Backend& backend() const { return backend_; }
  uint64_t number() const { return number_; }  // of this model alone
  int64_t dim() const { return config_.temporal.dim; }
  KvType kv() const { return kv_; }
  // Codebooks depth() can draw: all generated ones, or, live, the model's own.
  int codebooks() const { return static_cast<int>(audio_heads_.size()); }

  // The temporal ring of one conversation; `positions` > 0 asks for room for that many instead of the model's context.
  TransformerState make_temporal(int64_t positions = 0) const {
    return temporal_.make_state(positions > 0 ? positions : config_.temporal.context, kv_);
  }
  // The depth ring: it lives for one step only.
  TransformerState make_depth() const { return depth_->make_state(config_.generated_codebooks); }

  // Rows of the temporal and of the depth rings, laid down on the device.
  Rows place_temporal(Working& memory, std::span<const Row> rows) const { return temporal_.place(memory, rows); }
  Rows place_depth(Working& memory, std::span<const Row> rows) const { return depth_->place(memory, rows); }

  // tokens [n, streams] (text, own audio, user audio) → hidden [n, dim] after the last norm, text logits [n,
  // text_card_out]; all on the device.
  void temporal(const int32_t* tokens, const Rows& rows, float* hidden, float* text_logits) const;
  // One codebook for n rows: previous [n] is the text token for codebook 0, else the token of codebook - 1.
  // rows point into depth rings at position `codebook`. logits [n, card]. All on the device. Throws Error for a
  // codebook that was left out.
  void depth(int codebook, const int32_t* previous, const float* hidden, const Rows& rows, float* logits) const;

  // The same with the host's memory, for one call that nothing hurries.
  void temporal(const int32_t* tokens, std::span<const Row> rows, float* hidden, float* text_logits) const;
  void depth(int codebook, const int32_t* previous, const float* hidden, std::span<const Row> rows,
             float* logits) const;
  // Only fills the rings: while a prompt is read nothing is drawn. The tokens are the host's.
  void prefill(const int32_t* tokens, std::span<const Row> rows) const;
  // The same for positions whose summed embeddings [n, dim] the host has.
  void prefill_embedded(const float* embeddings, std::span<const Row> rows) const;
  // Softmax of the extra heads (pause prediction): hidden [dim] → [heads, extra_heads_dim], both the host's.
  std::vector<float> extra_heads(const float* hidden) const;

 private:
  struct Embedding {
    Matrix table, low_rank;
    std::optional<Norm> norm;
  };
  struct Head {
    Matrix weight;
    Buffer bias;
  };
  // x [rows, dim] before the last norm.
  void run_temporal(const int32_t* tokens, const Rows& rows, float* x) const;
  Embedding load_embedding(const Weights& weights, const std::string& name, int64_t entries, int64_t dim,
                           int64_t low_rank) const;
  Head load_head(const Weights& weights, const std::string& name, int64_t out, int64_t in) const;
  void embed(const Embedding& embedding, const int32_t* ids, int64_t stride, float* y, int64_t n, int64_t dim,
             bool add) const;
  void project(const Head& head, const float* x, float* y, int64_t n) const;

  Backend& backend_;
  uint64_t number_ = unique_number();
  LmConfig config_;
  KvType kv_;  // of the temporal ring
  Embedding text_embedding_, depth_text_embedding_;
  std::vector<Embedding> embeddings_, depth_embeddings_;
  std::vector<Lookup> summed_;  // embeddings_ and text_embedding_, where their rows are summed as they are
  Transformer temporal_;
  std::optional<Transformer> depth_;
  Norm out_norm_;
  Head text_head_;
  std::vector<Matrix> depth_in_;  // one a weight set, or one for all
  std::vector<Norm> depth_norms_;
  std::vector<Head> audio_heads_;
  std::vector<Matrix> extra_heads_;
};

}  // namespace moshi
