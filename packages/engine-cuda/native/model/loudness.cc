#include "model/loudness.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "core/error.h"

namespace moshi {

namespace {

constexpr double kBlock = 0.4, kStep = 0.25;  // seconds; of a block
constexpr double kAbsoluteGate = -70, kRelativeGate = -10;

// A second-order filter in direct form, numerator b and denominator a, a[0] = 1.
struct Biquad {
  double b[3], a[3];

  void run(std::vector<double>& x) const {
    double z0 = 0, z1 = 0;
    for (double& value : x) {
      const double in = value;
      value = b[0] * in + z0;
      z0 = b[1] * in - a[1] * value + z1;
      z1 = b[2] * in - a[2] * value;
    }
  }
};

Biquad normalized(double b0, double b1, double b2, double a0, double a1, double a2) {
  return {{b0 / a0, b1 / a0, b2 / a0}, {1, a1 / a0, a2 / a0}};
}

// The head: 4 dB more above 1500 Hz.
Biquad high_shelf(double rate) {
  const double gain = std::pow(10.0, 4.0 / 40), w = 2 * std::numbers::pi * (1500.0 / rate);
  const double cosine = std::cos(w), slope = 2 * std::sqrt(gain) * (std::sin(w) / (2 * (1 / std::sqrt(2.0))));
  const double up = gain + 1, down = gain - 1;
  return normalized(gain * (up + down * cosine + slope), -2 * gain * (down + up * cosine),
                    gain * (up + down * cosine - slope), up - down * cosine + slope, 2 * (down - up * cosine),
                    up - down * cosine - slope);
}

// Nothing below 38 Hz.
Biquad high_pass(double rate) {
  const double w = 2 * std::numbers::pi * (38.0 / rate), cosine = std::cos(w), alpha = std::sin(w) / (2 * 0.5);
  return normalized((1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2, 1 + alpha, -2 * cosine, 1 - alpha);
}

double lufs(double power) {
  return -0.691 + 10 * std::log10(power);
}

// Mean power of the blocks louder than `gate`; 0 when none is.
double gated_mean(const std::vector<double>& powers, double gate) {
  double sum = 0;
  int64_t count = 0;
  for (const double power : powers) {
    if (!(lufs(power) > gate)) continue;
    sum += power;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

}  // namespace

double integrated_loudness(std::span<const float> pcm, double rate) {
  std::vector<double> weighted(pcm.begin(), pcm.end());
  high_shelf(rate).run(weighted);
  high_pass(rate).run(weighted);

  const double seconds = static_cast<double>(pcm.size()) / rate;
  // nearbyint rounds halves to even, as the meter's language does.
  const auto blocks = static_cast<int64_t>(std::nearbyint((seconds - kBlock) / (kBlock * kStep))) + 1;
  std::vector<double> powers;
  for (int64_t j = 0; j < blocks; ++j) {
    const auto begin = static_cast<size_t>(kBlock * (static_cast<double>(j) * kStep) * rate);
    const auto end =
        std::min(weighted.size(), static_cast<size_t>(kBlock * (static_cast<double>(j) * kStep + 1) * rate));
    double power = 0;
    for (size_t i = begin; i < end; ++i) power += weighted[i] * weighted[i];
    powers.push_back(power / (kBlock * rate));
  }
  const double heard = gated_mean(powers, std::nextafter(kAbsoluteGate, -100));
  if (heard == 0) return -std::numeric_limits<double>::infinity();
  const double loud = gated_mean(powers, std::max(kAbsoluteGate, lufs(heard) + kRelativeGate));
  return loud == 0 ? -std::numeric_limits<double>::infinity() : lufs(loud);
}

std::vector<double> normalize_loudness(std::span<const float> pcm, double rate, double target) {
  if (static_cast<double>(pcm.size()) < kBlock * rate)
    throw Error(kBadOption, "the voice is shorter than 0.4 s; 5 to 15 s of one speaker make a good one");
  const double loudness = integrated_loudness(pcm, rate);
  if (!std::isfinite(loudness)) throw Error(kBadOption, "the voice is silent; record 5 to 15 s of one speaker");
  const double gain = std::pow(10.0, (target - loudness) / 20);
  std::vector<double> out(pcm.begin(), pcm.end());
  for (double& value : out) value *= gain;
  return out;
}

}  // namespace moshi
