// The streaming transformer that Mimi, the temporal and the depth model share. It works on rows: each row names the
// session ring it belongs to and its position, so one call serves one step, a prompt of many positions, or a batch of
// sessions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/backend.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace moshi {

// The rings of one session, and how far it has come.
struct TransformerState {
  KvCache cache;
  int64_t position = 0;
  // The PersonaPlex fork labels its oldest slot wrongly once the ring is full and so sees one position less.
  bool fork = false;

  // Appends `count` rows for the next positions. With a full ring the last rows of a call hide the oldest keys from the
  // first ones, as in the reference, which writes a whole call before it attends.
  void extend(std::vector<Row>& rows, int64_t count, int64_t context);
  void reset() { position = 0; }
};

// How many sets of weights every layer has on disk, and how many of them, from the first on, are loaded.
struct WeightSets {
  int stored = 1, kept = 1;
};

class Transformer {
 public:
  // With more than one set of weights each call chooses (the depth transformer's codebooks).
  Transformer(const Weights& weights, const std::string& prefix, const TransformerConfig& config, WeightSets sets = {});

  const TransformerConfig& config() const { return config_; }
  TransformerState make_state(int64_t capacity, KvType type = KvType::F32) const;
  // Lays rows down on the device, in `memory`, and makes room for them in their rings.
  Rows place(Working& memory, std::span<const Row> rows) const;
  // x [rows, dim] in place.
  void forward(float* x, const Rows& rows, int weight_set = 0) const;

 private:
  struct Layer {
    Norm norm1, norm2;
    std::vector<Matrix> in_proj, out_proj;      // [q + 2 kv, dim], [dim, dim]; one per weight set
    std::vector<Matrix> linear_in, linear_out;  // gated: [2 h, dim], [dim, h]; else [h, dim], [dim, h]
    Buffer scale1, scale2;                      // layer scale, null when there is none
  };
  void load_layer(const Weights& weights, const std::string& prefix, WeightSets sets);

  Backend& backend_;
  TransformerConfig config_;
  AttentionShape attention_;
  Activation activation_;
  bool gated_;
  std::vector<Layer> layers_;
  int64_t hidden_ = 0;              // the widest feed-forward layer
  std::vector<float> frequencies_;  // of rope, [head_dim / 2]
  std::vector<float> periods_;      // of sinusoidal positions, [dim / 2]
};

}  // namespace moshi
