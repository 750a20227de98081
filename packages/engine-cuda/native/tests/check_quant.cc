// Quantized blocks: what they lose, that nothing is lost twice, and that no input breaks them.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/quant.h"
#include "tests/checks.h"

namespace moshi {

namespace {

constexpr int64_t kCount = 256 * 200;

std::vector<float> gaussian(unsigned seed, float shift = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(shift, 1);
  std::vector<float> out(kCount);
  for (float& value : out) value = 0.02f * normal(random);
  return out;
}

std::vector<char> blocks_of(DType type, const std::vector<float>& values) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<char> blocks(static_cast<size_t>(stored_bytes(type, count)));
  quantize(type, values.data(), count, blocks.data());
  return blocks;
}

std::vector<float> values_of(DType type, const std::vector<char>& blocks) {
  std::vector<float> out(blocks.size() / static_cast<size_t>(dtype_bytes(type)) *
                         static_cast<size_t>(block_elements(type)));
  dequantize(type, blocks.data(), static_cast<int64_t>(out.size()), out.data());
  return out;
}

// Root mean square error over root mean square.
double loss(DType type, const std::vector<float>& values) {
  const std::vector<float> back = values_of(type, blocks_of(type, values));
  double error = 0, power = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(double{back[i]} - double{values[i]}, 2);
    power += std::pow(double{values[i]}, 2);
  }
  return std::sqrt(error / power);
}

void check_losses() {
  const std::vector<float> values = gaussian(7), shifted = gaussian(8, 3);
  const double q8 = loss(DType::Q8_0, values), q4 = loss(DType::Q4_0, values), k = loss(DType::Q4_K, values);
  expect(q8 > 0.003 && q8 < 0.006, "quant: q8_0 loses half a percent of a normal row, " + std::to_string(q8));
  expect(q4 > 0.06 && q4 < 0.09, "quant: q4_0 loses eight percent of a normal row, " + std::to_string(q4));
  expect(k < 0.0725 && k < 0.85 * q4, "quant: q4_k loses less of a normal row than q4_0, " + std::to_string(k));
  const double low = loss(DType::Q4_K, shifted), plain = loss(DType::Q4_0, shifted);
  expect(low < plain / 2, "quant: q4_k knows rows that are not centred, " + std::to_string(low));
}

void check_again() {
  for (const DType type : {DType::Q8_0, DType::Q4_0, DType::Q4_K}) {
    const std::string name = type == DType::Q8_0 ? "q8_0" : type == DType::Q4_0 ? "q4_0" : "q4_k";
    const std::vector<char> once = blocks_of(type, gaussian(9));
    const std::vector<float> values = values_of(type, once);
    if (type != DType::Q4_K) {
      expect(blocks_of(type, values) == once, "quant: " + name + " of its own values is the same");
    } else {
      expect(loss(type, values) < 0.02,
             "quant: q4_k of its own values is close, " + std::to_string(loss(type, values)));
    }
  }
}

// A block written by hand, against the format's own words.
void check_layout() {
  std::vector<char> block(144);
  const uint16_t d = float_to_f16(0.5f), m = float_to_f16(0.25f);
  std::memcpy(block.data(), &d, 2);
  std::memcpy(block.data() + 2, &m, 2);
  // Group 1: scale 33, minimum 18. Group 6: scale 0b101011, minimum 0b011110.
  block[4 + 1] = 33;
  block[4 + 5] = 18;
  block[4 + 10] = static_cast<char>(0b1011 | 0b1110 << 4);
  block[4 + 2] = static_cast<char>(0b10 << 6);
  block[4 + 6] = static_cast<char>(0b01 << 6);
  block[16 + 3] = static_cast<char>(11 << 4);  // element 3 of group 1
  block[16 + 96 + 31] = 7;                     // element 31 of group 6
  const std::vector<float> values = values_of(DType::Q4_K, block);
  expect(values[32 + 3] == 0.5f * 33 * 11 - 0.25f * 18 && values[32] == -0.25f * 18 &&
             values[6 * 32 + 31] == 0.5f * 43 * 7 - 0.25f * 30 && values[0] == 0,
         "quant: q4_k as ggml lays it out");
  block.assign(18, 0);
  std::memcpy(block.data(), &d, 2);
  block[2 + 4] = static_cast<char>(9 | 2 << 4);
  const std::vector<float> halves = values_of(DType::Q4_0, block);
  expect(halves[4] == 0.5f && halves[20] == -3 && halves[0] == -4, "quant: q4_0 as ggml lays it out");
  block.assign(34, 0);
  std::memcpy(block.data(), &d, 2);
  block[2 + 31] = -5;
  expect(values_of(DType::Q8_0, block)[31] == -2.5f, "quant: q8_0 as ggml lays it out");
}

void check_edges() {
  for (const DType type : {DType::Q8_0, DType::Q4_0, DType::Q4_K}) {
    const std::string name = std::to_string(static_cast<int>(type));
    std::vector<float> values(256, 0.0f);
    bool zeros = true, same = true;
    for (const float value : values_of(type, blocks_of(type, values))) zeros &= value == 0;
    expect(zeros, "quant: zeros stay zeros, type " + name);
    for (const float constant : {0.75f, -0.75f}) {
      values.assign(256, constant);
      for (const float value : values_of(type, blocks_of(type, values))) same &= std::fabs(value - constant) < 0.01f;
    }
    expect(same, "quant: a constant row stays one, type " + name);
    for (const float odd : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN(), 1e38f, 1e-42f}) {
      values = gaussian(11);
      values[17] = odd;
      blocks_of(type, values);
      values.assign(256, odd);
      blocks_of(type, values);
    }
  }
}

}  // namespace

void check_quant() {
  check_losses();
  check_again();
  check_layout();
  check_edges();
}

}  // namespace moshi
