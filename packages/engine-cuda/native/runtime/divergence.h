// How far one distribution over tokens strays from another, in numbers people compare models by.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moshi {

// What is kept of a reference's distribution over one token: all of a codebook's, the likeliest of a text's.
struct Distribution {
  std::vector<int32_t> tokens;  // empty: all, in order
  std::vector<float> log_probs;
  int32_t likeliest = 0;  // the first among equals
  float log_prob = 0;     // of the likeliest
};
Distribution distribution(std::span<const float> logits);

struct Difference {
  double divergence;  // Kullback-Leibler, nats; what is not kept counts as one token, which makes it a lower bound
  int64_t rank;       // of the reference's likeliest token, 1 = the likeliest here too
  float log_prob;     // of that token
};
// logits of the same vocabulary.
Difference compare(const Distribution& reference, std::span<const float> logits);

// Means over many draws of one stream.
class StreamQuality {
 public:
  void add(const Distribution& reference, const Difference& difference);

  int64_t count() const { return count_; }
  // Draws in which both find the same token likeliest, 0 to 1; the rest likewise means, NaN when there are no draws.
  double agreement() const { return mean(agreeing_); }
  double divergence() const { return mean(divergence_); }
  double rank() const { return mean(ranks_); }
  // e^(mean -log p) of the reference's likeliest tokens.
  double reference_perplexity() const;
  double perplexity() const;

 private:
  double mean(double sum) const;

  int64_t count_ = 0;
  double agreeing_ = 0, divergence_ = 0, ranks_ = 0, reference_loss_ = 0, loss_ = 0;
};

// Of the angle between two vectors; NaN when one is zero.
double cosine(std::span<const float> a, std::span<const float> b);

}  // namespace moshi
