// Draws follow the weights, and broken logits do no harm.
#include <cmath>

#include "core/philox.h"
#include "model/sampler.h"
#include "tests/checks.h"

namespace moshi {

void check_sampler() {
  const std::vector<float> logits = {0.5f, 2.0f, -1.0f, 1.0f, 0.0f};
  const SamplingRule rule{0.8f, 3, 0};
  const std::vector<float> weights = token_weights(logits, rule);
  float total = 0;
  for (const float weight : weights) total += weight;
  std::vector<int> counts(logits.size());
  constexpr int kDraws = 200000;
  for (int i = 0; i < kDraws; ++i)
    ++counts[static_cast<size_t>(sample(logits, rule, philox_uniform(3, static_cast<uint64_t>(i), 0)))];
  for (size_t i = 0; i < logits.size(); ++i)
    expect(std::fabs(counts[i] / static_cast<double>(kDraws) - weights[i] / total) < 0.005,
           "draws of token " + std::to_string(i) + " follow its weight");
  expect(counts[2] == 0 && counts[4] == 0, "tokens outside the top k are never drawn");
  expect(sample(logits, {0, 0, 0}, 0.99f) == 1, "temperature 0 is greedy");
  const std::vector<float> broken = {NAN, -INFINITY, NAN, 1.0f, INFINITY};
  for (const float temperature : {0.0f, 0.7f})
    for (const int k : {0, 2})
      for (const float p : {0.0f, 0.9f}) {
        const int token = sample(broken, {temperature, k, p}, 0.5f);
        expect(token >= 0 && token < 5, "broken logits still give a token");
      }
  std::vector<float> penalized = logits;
  // Of another row, which says the same.
  std::vector<int32_t> recent = {1, 2};
  const int32_t count = add_once(recent, std::vector<int32_t>{1, 99, 2, 1, -1, 2, 1});
  expect(count == 4 && recent.size() == 6, "what was said several times is in the list once");
  penalize(penalized, std::span(recent).subspan(2), 2.0f);
  expect(penalized[1] == 1.0f && penalized[2] == -2.0f && penalized[0] == 0.5f,
         "the penalty hits each recent token once");
}

}  // namespace moshi
