// Timing of what is repeated.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "runtime/bench.h"

namespace moshi {

template <typename Task>
double milliseconds(Task&& task) {
  const auto start = std::chrono::steady_clock::now();
  task();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

inline double middle(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

inline Repeats quickest(const std::vector<double>& times) {
  return {times.empty() ? 0 : *std::min_element(times.begin(), times.end()), middle(times)};
}

// Bytes that are read beside each repeat of something else: far more than a cache, and far less than that costs.
inline constexpr uint64_t kBesideBytes = uint64_t{256} << 20;

// Floating-point operations a second of a core that has nothing else to do for a millisecond or two.
double peak(const Kernels& kernels);

}  // namespace moshi
