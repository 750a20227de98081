#include "files/synthetic.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace moshi {

namespace {

constexpr uint64_t kPattern = 1 << 20;

// xorshift64*: what it makes only has to be no number in particular, and quickly.
class Random {
 public:
  uint32_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<uint32_t>((state_ * 0x2545f4914f6cdd1dull) >> 32);
  }
  float even() { return static_cast<float>(next() >> 8) * 0x1p-23f - 1; }  // [-1, 1)

 private:
  uint64_t state_ = 0x9e3779b97f4a7c15ull;
};

void put_half(char* p, float value) {
  const uint16_t half = float_to_f16(value);
  std::memcpy(p, &half, sizeof half);
}

// A block of random codes, with scales that keep its values within ± spread.
void make_block(DType type, float spread, Random& random, char* block) {
  for (int i = 0; i < dtype_bytes(type); ++i) block[i] = static_cast<char>(random.next());
  if (type == DType::Q8_0) {
    put_half(block, spread / 128);
  } else if (type == DType::Q4_0) {
    put_half(block, spread / 8);
  } else {
    // All scales and minimums a half of what six bits hold: d s q - m t is even about zero.
    const uint8_t level = 32;
    for (int i = 0; i < 4; ++i) block[4 + i] = block[8 + i] = static_cast<char>(level | (level >> 4) << 6);
    for (int i = 0; i < 4; ++i) block[12 + i] = static_cast<char>((level & 15) | (level & 15) << 4);
    put_half(block, spread / (7.5f * level));
    put_half(block + 2, spread / level);
  }
}

void make_value(DType type, float value, char* out) {
  if (type == DType::F32) {
    std::memcpy(out, &value, sizeof value);
  } else if (type == DType::F16) {
    put_half(out, value);
  } else {
    const uint16_t half = float_to_bf16(value);
    std::memcpy(out, &half, sizeof half);
  }
}

}  // namespace

Synthetic::Synthetic(std::string name, const std::vector<MadeTensor>& tensors) : name_(std::move(name)) {
  for (const MadeTensor& one : tensors) {
    TensorInfo info{one.type, one.shape, made_of_.size(), 0};
    const int64_t row = one.shape.empty() ? 1 : one.shape.back();
    const bool known =
        one.type == DType::F32 || one.type == DType::F16 || one.type == DType::BF16 || block_elements(one.type) > 1;
    if (!known || row % block_elements(one.type) != 0)
      throw Error(kBadModel, name_ + ": tensor '" + one.name + "' " + shape_text(one.shape) + " cannot be made up as " +
                                 dtype_name(one.type));
    info.bytes = static_cast<uint64_t>(stored_bytes(one.type, info.count()));
    tensors_.emplace(one.name, info);
    made_of_.push_back(pattern(one.type, one.mean, one.spread));
  }
}

size_t Synthetic::pattern(DType type, float mean, float spread) {
  for (size_t i = 0; i < patterns_.size(); ++i)
    if (patterns_[i].type == type && patterns_[i].mean == mean && patterns_[i].spread == spread) return i;
  const auto unit = static_cast<uint64_t>(dtype_bytes(type));
  Pattern made{type, mean, spread, std::vector<char>(kPattern / unit * unit)};
  Random random;
  for (uint64_t at = 0; at < made.bytes.size(); at += unit) {
    if (block_elements(type) > 1)
      make_block(type, spread, random, &made.bytes[at]);
    else
      make_value(type, mean + spread * random.even(), &made.bytes[at]);
  }
  patterns_.push_back(std::move(made));
  return patterns_.size() - 1;
}

void Synthetic::read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const {
  if (info.offset >= made_of_.size() || from > info.bytes || bytes > info.bytes - from)
    throw Error(kBadFile, name_ + ": read beyond the end of a tensor");
  const std::vector<char>& made = patterns_[made_of_[static_cast<size_t>(info.offset)]].bytes;
  const auto unit = static_cast<uint64_t>(dtype_bytes(info.type));
  // Each tensor begins elsewhere in its pattern, or all layers would be the same.
  uint64_t at = (info.offset * 7919 * unit + from) % made.size();
  auto* to = static_cast<char*>(out);
  while (bytes > 0) {
    const uint64_t count = std::min<uint64_t>(bytes, made.size() - at);
    std::memcpy(to, &made[at], count);
    to += count;
    bytes -= count;
    at = 0;
  }
}

}  // namespace moshi
