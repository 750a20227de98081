// Every tensor of a published checkpoint by name and shape, from its config alone: what weights are made up from.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"

namespace moshi {

struct TensorShape {
  enum class Use : uint8_t {
    Matrix,   // multiplied with: run in the type the precision asks for
    Table,    // rows are looked up
    Kernel,   // of a convolution, which is run in floats
    Scale,    // the gain of a norm, or one that counts; near 1
    Small,    // biases, the gain of a branch
    Codebook  // entries of a quantizer
  };
  std::string name;
  std::vector<int64_t> dims;
  Use use;
};

// Widths of the feed-forward layers, which config.json gives by a rule and LmConfig leaves to the weights.
struct Widths {
  int64_t temporal = 0;
  std::vector<int64_t> depth;  // one a weight set, or one for all

  // The config without a size of its own is the published 7B's.
  static Widths of(const Json& config);
};

// The tensors of a language model whose depth weights serve `codebooks`. `numbered`: projections as newer checkpoints
// name them (in_projs.0.weight), which the 7B's do not (in_proj_weight).
std::vector<TensorShape> lm_tensors(const LmConfig& config, const Widths& widths, int codebooks, bool numbered);
// The tensors of a codec with feed-forward layers of width `feed_forward`, 2048 in the published one.
std::vector<TensorShape> mimi_tensors(const MimiConfig& config, int64_t feed_forward, bool numbered);

}  // namespace moshi
