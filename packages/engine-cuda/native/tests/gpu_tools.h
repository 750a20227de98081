// Helpers of the checks that run kernels on fibers.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "cuda/host/launch.h"
#include "tests/checks.h"

namespace moshi {

// Every way to go through threads but forward.
inline constexpr gpu::host::Order kOtherOrders[] = {
    {gpu::host::Order::Reverse, 0}, {gpu::host::Order::Random, 1}, {gpu::host::Order::Random, 2}};

inline gpu::host::Launch launch_of(const char* kernel, gpu::host::Grid grid, gpu::host::Order order, int threads = 64) {
  return {.kernel = kernel, .grid = grid, .threads = threads, .order = order};
}

// What run(order) gives, for every order the same bits.
template <typename Run>
auto in_every_order(const std::string& name, Run run) {
  const auto out = run(gpu::host::Order{gpu::host::Order::Forward, 0});
  bool same = true;
  for (const gpu::host::Order order : kOtherOrders) same &= run(order) == out;
  expect(same, name + ": the order of threads changes no bit");
  return out;
}

inline std::vector<float> normal_floats(int64_t count, std::mt19937& source) {
  std::normal_distribution<float> distribution;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = distribution(source);
  return out;
}

// The largest difference, relative where values are above 1.
inline double worst(const std::vector<float>& a, const std::vector<float>& b) {
  double error = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    const double difference = std::fabs(a[i] - b[i]) / std::fmax(1, std::fabs(b[i]));
    if (!(difference <= error)) error = std::isnan(difference) ? INFINITY : difference;
  }
  return error;
}

}  // namespace moshi
