// What the bench's measurements of models share.
#pragma once

#include <algorithm>
#include <vector>

#include "model/transformer.h"
#include "runtime/bench.h"
#include "runtime/repeat.h"

namespace moshi {

inline constexpr int kWarmUp = 3, kFewest = 5;
// A slow machine measures fewer frames rather than for minutes.
inline constexpr double kPatience = 10'000;

std::vector<StageTime> stages_of(const Costs& costs);

// The one that nothing disturbed.
template <typename Frame, typename Time>
const Frame& fastest_frame(const std::vector<Frame>& frames, Time time) {
  return *std::min_element(frames.begin(), frames.end(),
                           [&](const Frame& a, const Frame& b) { return time(a) < time(b); });
}

// Soft noise, the same for a seed.
std::vector<float> noise(int64_t count, uint32_t seed);

// Puts a state at a position. What its ring holds does not matter, that it is there to be read does.
void advance(TransformerState& state, Backend& backend, int64_t position);

}  // namespace moshi
