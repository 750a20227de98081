#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace moshi {

int greedy(std::span<const float> logits) {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::vector<float> token_weights(std::span<const float> logits, const SamplingRule& rule) {
  const size_t n = logits.size();
  std::vector<float> weights(n);
  float top = -INFINITY;
  for (const float logit : logits) top = std::max(top, logit / rule.temperature);
  double total = 0;
  for (size_t i = 0; i < n; ++i) {
    const float weight = std::exp(logits[i] / rule.temperature - top);
    // A broken checkpoint may give NaN, which no ordering below could bear.
    weights[i] = weight > 0 ? weight : 0;
    total += weights[i];
  }
  if (total > 0)
    for (float& weight : weights) weight = static_cast<float>(weight / total);
  if (rule.top_p <= 0 && (rule.top_k <= 0 || static_cast<size_t>(rule.top_k) >= n)) return weights;

  if (rule.top_p > 0) {
    std::vector<uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    const auto heavier = [&](uint32_t a, uint32_t b) {
      return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
    };
    std::sort(order.begin(), order.end(), heavier);
    // Summed in double and rounded a token at a time, as the reference's cumsum: among ties the rounding decides.
    double running = 0, kept = 0;
    for (const uint32_t token : order) {
      running += weights[token];
      if (static_cast<float>(running) - weights[token] > rule.top_p)
        weights[token] = 0;
      else
        kept += weights[token];
    }
    for (float& weight : weights) weight = static_cast<float>(weight / kept);
  } else {
    // The first among those that weigh as much as the last one kept.
    std::vector<float> sorted(weights);
    const auto last = sorted.begin() + rule.top_k - 1;
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
    const float least = *last;
    auto ties = rule.top_k - std::count_if(sorted.begin(), last, [least](float weight) { return weight > least; });
    for (float& weight : weights)
      if (weight < least || (weight == least && ties-- <= 0)) weight = 0;
  }
  return weights;
}

int sample(std::span<const float> logits, const SamplingRule& rule, float uniform) {
  // Colder than this, logits divided by the temperature overflow; the likeliest token is all that is left anyway.
  if (rule.temperature < 1e-5f || rule.top_k == 1) return greedy(logits);
  const std::vector<float> weights = token_weights(logits, rule);
  double total = 0;
  for (const float weight : weights) total += weight;
  double left = uniform * total;
  int last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = static_cast<int>(i);
    if ((left -= weights[i]) < 0) return last;
  }
  return last;
}

int draw(std::span<float> logits, const DrawData& how, const int32_t* recent) {
  const auto favored = static_cast<size_t>(how.favored);
  if (how.recent_count > 0) penalize(logits, {recent + how.recent, static_cast<size_t>(how.recent_count)}, how.penalty);
  if (how.favor != 0 && how.favored >= 0 && favored < logits.size()) logits[favored] += how.favor;
  return sample(logits, {how.temperature, how.top_k, how.top_p}, how.uniform);
}

int32_t add_once(std::vector<int32_t>& list, std::span<const int32_t> tokens) {
  const auto first = list.insert(list.end(), tokens.begin(), tokens.end());
  std::sort(first, list.end());
  const auto end = std::unique(first, list.end());
  const auto count = static_cast<int32_t>(end - first);
  list.erase(end, list.end());
  return count;
}

void penalize(std::span<float> logits, std::span<const int32_t> recent, float penalty) {
  for (const int32_t token : recent) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

}  // namespace moshi
