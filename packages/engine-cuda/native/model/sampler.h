// From logits to one token: temperature, top-k, top-p, seeded by counter; the reference's distributions (golden case
// "sampling").
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/device_data.h"

namespace moshi {

struct SamplingRule {
  float temperature = 0.8f;  // 0 = greedy
  int top_k = 0;             // 0 = no limit
  float top_p = 0;           // 0 = off; otherwise top_k is ignored
};

// The first index of the largest logit.
int greedy(std::span<const float> logits);

// The weight of every token in the draw, not normalized; 0 = cannot be drawn. temperature must be positive.
std::vector<float> token_weights(std::span<const float> logits, const SamplingRule& rule);

// One token. `uniform` in [0, 1) picks a point on the line of weights in order of token id.
int sample(std::span<const float> logits, const SamplingRule& rule, float uniform);

// A token of logits that penalty and favor change first.
int draw(std::span<float> logits, const DrawData& how, const int32_t* recent);

// Adds the tokens to the list, each once, in no order of theirs; returns how many that makes.
int32_t add_once(std::vector<int32_t>& list, std::span<const int32_t> tokens);

// Divides positive and multiplies negative logits of the tokens in `recent`, each there once, by `penalty`.
void penalize(std::span<float> logits, std::span<const int32_t> recent, float penalty);

}  // namespace moshi
