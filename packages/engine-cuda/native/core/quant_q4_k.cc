// Choosing scales and minimums of a Q4_K block: for every group of 32 the line through its values that costs least,
// among those that a row of starting slopes leads to.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/quant.h"

namespace moshi {

namespace {

using Four = float __attribute__((vector_size(16)));

constexpr int kGroup = 32, kFours = kGroup / 4;
// Slopes tried: the range of the group laid over 14 to 16 levels.
constexpr int kSlopes = 21;
constexpr float kFirstLevels = 14.0f, kLevelStep = 0.1f;

float sum(Four v) {
  return v[0] + v[1] + (v[2] + v[3]);
}

// value = scale * code - minimum.
struct Line {
  float scale = 0, minimum = 0;
};

// What the codes of a group cost, big values counting for more.
struct Group {
  Four x[kFours], weight[kFours];
  float w = 0, wx = 0, wxx = 0;

  explicit Group(const float* values) {
    std::memcpy(x, values, sizeof x);
    Four squares{};
    for (const Four& v : x) squares += v * v;
    const float typical = std::sqrt(sum(squares) / kGroup);
    Four total{}, first{}, second{};
    for (int i = 0; i < kFours; ++i) {
      const Four size = x[i] < 0 ? -x[i] : x[i];
      weight[i] = size + typical;
      total += weight[i];
      first += weight[i] * x[i];
      second += weight[i] * x[i] * x[i];
    }
    w = sum(total), wx = sum(first), wxx = sum(second);
  }

  // The best line for the codes that values of `low` and above get at `slope` codes a unit, and its cost.
  Line fit(float low, float slope, float& cost) const {
    Four one{}, two{}, cross{};
    for (int i = 0; i < kFours; ++i) {
      const Four level = (x[i] - low) * slope, top = Four{} + 15;
      // Adding 1.5 2^23 rounds to a whole number.
      const Four code = (level < top ? level : top) + 0x1.8p23f - 0x1.8p23f;
      const Four weighted = weight[i] * code;
      one += weighted;
      two += weighted * code;
      cross += weighted * x[i];
    }
    const float q = sum(one), qq = sum(two), qx = sum(cross), determinant = w * qq - q * q;
    float scale = 0, offset = 0;
    if (determinant > 0) {
      scale = (w * qx - wx * q) / determinant;
      offset = (qq * wx - q * qx) / determinant;
    }
    // The format only knows lines that begin at zero or below.
    if (offset > 0 || determinant <= 0) {
      offset = 0;
      scale = qq > 0 ? qx / qq : 0;
    }
    cost = scale * (scale * qq + 2 * (offset * q - qx)) + offset * (offset * w - 2 * wx) + wxx;
    return {scale, -offset};
  }
};

Line best_line(const float* values) {
  float least = 0, most = values[0];
  for (int i = 0; i < kGroup; ++i) {
    least = std::min(least, values[i]);
    most = std::max(most, values[i]);
  }
  const float low = least, range = most - low;
  if (!(range > 0)) return {0, -low};
  const Group group(values);
  Line best;
  float least_cost = INFINITY;
  for (int i = 0; i < kSlopes; ++i) {
    float cost;
    const Line line = group.fit(low, (kFirstLevels + kLevelStep * static_cast<float>(i)) / range, cost);
    if (cost < least_cost && line.scale > 0) {
      least_cost = cost;
      best = line;
    }
  }
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
    uint8_t* const to = codes + 32 * (group / 2);
    const float unit = group % 2 ? 16 : 1;
    for (int i = 0; i < kGroup; ++i) {
      const float level = std::max(0.0f, std::min(15.0f, (x[kGroup * group + i] + minimum) * inverse));
      const float code = (level + 0x1.8p23f - 0x1.8p23f) * unit;
      to[i] |= static_cast<uint8_t>(static_cast<int32_t>(code));
    }
  }
}

}  // namespace moshi
