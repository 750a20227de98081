// Choosing scales and minimums of a Q4_K block: for every group of 32 the line through its values that costs least,
// among those that a row of starting slopes leads to.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/quant.h"

namespace moshi {

namespace {

using Four = float __attribute__((vector_size(16)));

constexpr int kGroup = 32;
// Slopes tried, four at a time: the range of the group laid over 14 to 16 levels.
constexpr int kFours = 6;
constexpr float kFirstLevels = 14.0f, kLevelStep = 2.0f / (4 * kFours - 1);

// value = scale * code - minimum.
struct Line {
  float scale = 0, minimum = 0;
};

// Of a group: big values count for more.
struct Sums {
  float weight[kGroup], w = 0, wx = 0, wxx = 0;

  explicit Sums(const float* x) {
    float squares = 0;
    for (int i = 0; i < kGroup; ++i) squares += x[i] * x[i];
    const float typical = std::sqrt(squares / kGroup);
    for (int i = 0; i < kGroup; ++i) {
      weight[i] = std::fabs(x[i]) + typical;
      w += weight[i];
      wx += weight[i] * x[i];
      wxx += weight[i] * x[i] * x[i];
    }
  }
};

// For each of kFours / 2 * 4 slopes the line that fits best to the codes that values of `low` and above get by it; the
// cheapest of all goes to `best`.
void try_slopes(const float* x, const Sums& sums, float low, const Four* slopes, Line& best, float& least) {
  constexpr int kAtOnce = kFours / 2;
  Four one[kAtOnce] = {}, two[kAtOnce] = {}, cross[kAtOnce] = {};
  const Four top = Four{} + 15;
  for (int i = 0; i < kGroup; ++i) {
    const float above = x[i] - low, weight = sums.weight[i], weighted_x = weight * x[i];
    for (int f = 0; f < kAtOnce; ++f) {
      const Four level = above * slopes[f];
      // Adding 1.5 2^23 rounds to a whole number.
      const Four code = (level < top ? level : top) + 0x1.8p23f - 0x1.8p23f;
      one[f] += weight * code;
      two[f] += weight * code * code;
      cross[f] += weighted_x * code;
    }
  }
  const Four zero{};
  for (int f = 0; f < kAtOnce; ++f) {
    const Four q = one[f], qq = two[f], qx = cross[f], determinant = sums.w * qq - q * q;
    const Four offset = (qq * sums.wx - q * qx) / determinant;
    // The format only knows lines that begin at zero or below.
    const auto free = (determinant > 0) & (offset < 0);
    const Four at = free ? offset : zero, scale = free ? (sums.w * qx - sums.wx * q) / determinant : qx / qq;
    const Four cost = scale * (scale * qq + 2 * (at * q - qx)) + at * (at * sums.w - 2 * sums.wx) + sums.wxx;
    for (int lane = 0; lane < 4; ++lane)
      if (cost[lane] < least && scale[lane] > 0) {
        least = cost[lane];
        best = {scale[lane], -at[lane]};
      }
  }
}

Line best_line(const float* x) {
  const auto [lowest, highest] = std::minmax_element(x, x + kGroup);
  const float low = std::min(*lowest, 0.0f), range = *highest - low;
  if (!(range > 0)) return {0, -low};
  Four slopes[kFours];
  for (int i = 0; i < 4 * kFours; ++i)
    slopes[i / 4][i % 4] = (kFirstLevels + kLevelStep * static_cast<float>(i)) / range;
  const Sums sums(x);
  Line best;
  float least = INFINITY;
  try_slopes(x, sums, low, slopes, best, least);
  try_slopes(x, sums, low, slopes + kFours / 2, best, least);
  return best;
}

uint8_t six_bits(float value, float unit) {
  const float level = unit > 0 ? value / unit + 0.5f : 0;
  return static_cast<uint8_t>(level > 0 ? (level < 63 ? level : 63) : 0);
}

}  // namespace

void quantize_q4_k(const float* x, char* out) {
  Line lines[8];
  float most_scale = 0, most_minimum = 0;
  for (int group = 0; group < 8; ++group) {
    lines[group] = best_line(x + kGroup * group);
    most_scale = std::max(most_scale, lines[group].scale);
    most_minimum = std::max(most_minimum, lines[group].minimum);
  }
  const uint16_t half[2] = {float_to_f16(most_scale / 63), float_to_f16(most_minimum / 63)};
  std::memcpy(out, half, 4);
  std::memset(out + 4, 0, 140);
  auto* packed = reinterpret_cast<uint8_t*>(out + 4);
  auto* codes = reinterpret_cast<uint8_t*>(out + 16);
  const float d = f16_to_float(half[0]), m = f16_to_float(half[1]);
  for (int group = 0; group < 8; ++group) {
    const uint8_t s = six_bits(lines[group].scale, d), t = six_bits(lines[group].minimum, m);
    if (group < 4) {
      packed[group] |= s;
      packed[group + 4] |= t;
    } else {
      packed[group + 4] = static_cast<uint8_t>((s & 15) | (t & 15) << 4);
      packed[group - 4] |= static_cast<uint8_t>(s >> 4 << 6);
      packed[group] |= static_cast<uint8_t>(t >> 4 << 6);
    }
    const float scale = d * static_cast<float>(s), minimum = m * static_cast<float>(t);
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < kGroup; ++i) {
      const float level = (x[kGroup * group + i] + minimum) * inverse + 0.5f;
      const auto code = static_cast<uint8_t>(level > 0 ? (level < 15 ? level : 15) : 0);
      codes[32 * (group / 2) + i] |= static_cast<uint8_t>(group % 2 ? code << 4 : code);
    }
  }
}

}  // namespace moshi
