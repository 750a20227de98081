#include "runtime/divergence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace moshi {

namespace {

// A codebook fits whole; of a text vocabulary so many hold all but a sliver of the probability.
constexpr size_t kWhole = 4096, kLikeliest = 256;
// The least probability of all that is not kept: rounding may leave none.
constexpr double kLeastRest = 1e-12;

// A broken model gives NaN, which no ordering bears.
float ordered(float logit) {
  return std::isnan(logit) ? -INFINITY : logit;
}

double log_sum(std::span<const float> logits) {
  float top = -INFINITY;
  for (const float logit : logits) top = std::max(top, ordered(logit));
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(ordered(logit)) - top);
  return top + std::log(total);
}

}  // namespace

Distribution distribution(std::span<const float> logits) {
  if (logits.empty()) throw Error(kBadModel, "a model without logits cannot be compared");
  const double total = log_sum(logits);
  const auto log_prob = [&](size_t token) { return static_cast<float>(ordered(logits[token]) - total); };
  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = ordered(logits[static_cast<size_t>(a)]), y = ordered(logits[static_cast<size_t>(b)]);
    return x != y ? x > y : a < b;
  };
  Distribution out;
  std::vector<int32_t> all(logits.size());
  std::iota(all.begin(), all.end(), 0);
  out.likeliest = *std::min_element(all.begin(), all.end(), likelier);
  out.log_prob = log_prob(static_cast<size_t>(out.likeliest));
  if (logits.size() > kWhole) {
    std::partial_sort(all.begin(), all.begin() + kLikeliest, all.end(), likelier);
    all.resize(kLikeliest);
    out.tokens = all;
  }
  for (const int32_t token : all) out.log_probs.push_back(log_prob(static_cast<size_t>(token)));
  return out;
}

Difference compare(const Distribution& reference, std::span<const float> logits) {
  const auto token = static_cast<size_t>(reference.likeliest);
  const bool whole = reference.tokens.empty();
  if (token >= logits.size() || (whole && reference.log_probs.size() != logits.size()))
    throw Error(kBadModel, "the two models draw from different vocabularies and cannot be compared");
  const double total = log_sum(logits);
  double divergence = 0, rest = 1, reference_rest = 1;
  for (size_t i = 0; i < reference.log_probs.size(); ++i) {
    const size_t at = whole ? i : static_cast<size_t>(reference.tokens[i]);
    if (at >= logits.size())
      throw Error(kBadModel, "the two models draw from different vocabularies and cannot be compared");
    // Rounded like the reference's, so that equal models differ by nothing.
    const double p = reference.log_probs[i], q = static_cast<float>(ordered(logits[at]) - total);
    if (!std::isinf(p)) divergence += std::exp(p) * (p - q);
    reference_rest -= std::exp(p);
    rest -= std::exp(q);
  }
  if (!whole) {
    reference_rest = std::max(reference_rest, kLeastRest), rest = std::max(rest, kLeastRest);
    divergence += reference_rest * std::log(reference_rest / rest);
  }
  Difference out{std::isnan(divergence) ? divergence : std::max(0.0, divergence), 1, 0};
  const float own = ordered(logits[token]);
  for (size_t i = 0; i < logits.size(); ++i) out.rank += ordered(logits[i]) > own || (i < token && logits[i] == own);
  out.log_prob = static_cast<float>(own - total);
  return out;
}

void StreamQuality::add(const Distribution& reference, const Difference& difference) {
  ++count_;
  agreeing_ += difference.rank == 1;
  divergence_ += difference.divergence;
  ranks_ += static_cast<double>(difference.rank);
  reference_loss_ -= reference.log_prob;
  loss_ -= difference.log_prob;
}

double StreamQuality::mean(double sum) const {
  return count_ > 0 ? sum / static_cast<double>(count_) : std::numeric_limits<double>::quiet_NaN();
}

double StreamQuality::reference_perplexity() const {
  return std::exp(mean(reference_loss_));
}

double StreamQuality::perplexity() const {
  return std::exp(mean(loss_));
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    dot += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace moshi
