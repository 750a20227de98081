// Split residual vector quantizer: one semantic codebook, then a residual chain of acoustic ones.
#pragma once

#include <span>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace moshi {

class Quantizer {
 public:
  Quantizer(const Weights& weights, const MimiConfig::Quantizer& config);

  int codebooks() const { return config_.codebooks; }
  int64_t bins() const { return config_.bins; }
  // latent [frames, input] → codes [frames, count] of the first `count` codebooks.
  void encode(const float* latent, int64_t frames, int count, int32_t* codes) const;
  // codes [frames, count], each in [0, bins) → latent [frames, output].
  void decode(const int32_t* codes, int64_t frames, int count, float* latent) const;
  // Throws Error(kBadOption) for a code of the host's that no codebook has.
  void check(std::span<const int32_t> codes) const;
  // The projections of a latent of the host's, in which both chains search, [frames, dimension]; for checks.
  std::vector<float> project(std::span<const float> latent, bool acoustic) const;

 private:
  struct Chain {
    Matrix input, output;           // absent where the dimensions agree
    std::vector<Lookup> codebooks;  // [bins, dimension]
  };
  Chain load_chain(const Weights& weights, const std::string& prefix, int count) const;
  void encode_chain(const Chain& chain, const float* latent, int64_t frames, int count, int32_t* codes,
                    int64_t stride) const;
  void decode_chain(const Chain& chain, const int32_t* codes, int64_t stride, int64_t frames, int count, float* latent,
                    bool add) const;

  Backend& backend_;
  MimiConfig::Quantizer config_;
  Chain semantic_, acoustic_;
};

}  // namespace moshi
