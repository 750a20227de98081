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

// Times of a task that is repeated `least` times, and on until so many milliseconds are spent: on a machine that is not
// all ours only a quiet moment shows what it can do.
template <typename Task>
std::vector<double> repeated(int least, double spend, Task&& task) {
  std::vector<double> times;
  for (double spent = 0; static_cast<int>(times.size()) < least || spent < spend;) {
    times.push_back(milliseconds(task));
    spent += times.back();
  }
  return times;
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

}  // namespace moshi
