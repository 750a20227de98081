#include "cuda/packed.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/quant.h"
#include "model/convert.h"

namespace moshi::gpu {

namespace {

// Kernels find the group of a block in floats, which is exact so far.
constexpr int64_t kMost = int64_t{1} << 24;

[[noreturn]] void refuse(const StoredMatrix& s, const std::string& what) {
  throw Error(kBadModel, "A matrix of " + std::to_string(s.rows) + " x " + std::to_string(s.cols) + " " + what + ".");
}

std::optional<LinearForm> form_of(DType type, int bits) {
  switch (type) {
    case DType::F32:
      return LinearForm::F32;
    case DType::F16:
      return LinearForm::F16;
    case DType::BF16:
      return LinearForm::BF16;
    case DType::Q8_0:
      return LinearForm::Q8_0;
    case DType::Q4_0:
      return LinearForm::Q4_0;
    case DType::Q4_K:
      return LinearForm::Q4_K;
    case DType::I8:
      return LinearForm::I8;
    case DType::U8:
      if (bits == 8) return LinearForm::U8;
      if (bits == 4) return LinearForm::U4;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

int64_t chunk_columns(LinearForm form) {
  switch (form) {
    case LinearForm::F32:
      return 4;
    case LinearForm::F16:
    case LinearForm::BF16:
      return 8;
    case LinearForm::Q8_0:
    case LinearForm::I8:
    case LinearForm::U8:
      return 16;
    default:
      return 32;
  }
}

int64_t scale_bytes(const PackedLayout& p) {
  switch (p.form) {
    case LinearForm::Q8_0:
    case LinearForm::Q4_0:
      return 2 * p.blocks;
    case LinearForm::I8:
      return 4;
    case LinearForm::U8:
    case LinearForm::U4:
      return 8 * p.groups;
    case LinearForm::Q4_K:
      return 16 * ((p.blocks + 7) / 8);
    default:
      return 0;
  }
}

void check(const StoredMatrix& s) {
  if (s.rows < 1 || s.cols < 1 || s.rows > kMost || s.cols > kMost) refuse(s, "is not one");
  if (static_cast<int64_t>(s.bytes.size()) != s.rows * row_bytes(s.type, s.cols))
    refuse(s, "has " + std::to_string(s.bytes.size()) + " bytes");
  const bool affine = s.type == DType::U8;
  if (affine && (s.group < 32 || s.group % 32 != 0 || s.cols % s.group != 0))
    refuse(s, "has scales for groups of " + std::to_string(s.group));
  const int64_t scales = affine ? s.rows * (s.cols / s.group) : s.type == DType::I8 ? s.rows : 0;
  if (static_cast<int64_t>(s.scales.size()) != scales) refuse(s, "has " + std::to_string(s.scales.size()) + " scales");
  if (static_cast<int64_t>(s.offsets.size()) != (affine ? scales : 0))
    refuse(s, "has " + std::to_string(s.offsets.size()) + " offsets");
  if (affine && s.bits == 4 && std::any_of(s.bytes.begin(), s.bytes.end(), [](char code) { return code & 0xf0; }))
    refuse(s, "has codes of more than 4 bits");
}

void flip(char* bytes, int64_t count, int bits) {
  for (int64_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(bytes[i] ^ bits);
}

// One code a byte, as many as the row has.
void pack_halves(const char* codes, int64_t count, char* out) {
  for (int64_t i = 0; i < count; ++i) {
    char& byte = out[i / 32 * 16 + i % 16];
    byte = static_cast<char>(byte | codes[i] << (i % 32 < 16 ? 0 : 4));
  }
}

// The eight groups of a Q4_K block, of which the row may lack the last.
void pack_q4_k(const char* super, int64_t blocks, char* chunks, char* head) {
  std::memcpy(head, super, 4);
  for (int64_t g = 0; g < blocks; ++g) {
    uint8_t scale, minimum;
    q4_k_scale(reinterpret_cast<const uint8_t*>(super + 4), static_cast<int>(g), scale, minimum);
    head[4 + g] = static_cast<char>(scale | minimum << 6);
    head[12 + g / 2] = static_cast<char>(head[12 + g / 2] | minimum >> 2 << (g % 2 * 4));
    char codes[32];
    for (int64_t i = 0; i < 32; ++i)
      codes[i] = static_cast<char>(static_cast<uint8_t>(super[16 + g / 2 * 32 + i]) >> (g % 2 * 4) & 15);
    pack_halves(codes, 32, chunks + 16 * g);
  }
}

void pack_row(const StoredMatrix& s, const PackedLayout& p, int64_t row, char* chunks, char* scales) {
  const int64_t width = row_bytes(s.type, s.cols);
  const char* in = s.bytes.data() + row * width;
  switch (p.form) {
    case LinearForm::F32:
    case LinearForm::F16:
    case LinearForm::BF16:
      std::memcpy(chunks, in, static_cast<size_t>(width));
      return;
    case LinearForm::Q8_0:
    case LinearForm::Q4_0: {
      const int64_t block = dtype_bytes(s.type), codes = block - 2;
      for (int64_t b = 0; b < p.blocks; ++b) {
        std::memcpy(scales + 2 * b, in + block * b, 2);
        std::memcpy(chunks + codes * b, in + block * b + 2, static_cast<size_t>(codes));
      }
      if (p.form == LinearForm::Q4_0) flip(chunks, 16 * p.blocks, 0x88);
      return;
    }
    case LinearForm::I8:
      std::memcpy(chunks, in, static_cast<size_t>(width));
      std::memcpy(scales, &s.scales[static_cast<size_t>(row)], 4);
      return;
    case LinearForm::U8:
    case LinearForm::U4:
      for (int64_t g = 0; g < p.groups; ++g) {
        const auto at = static_cast<size_t>(row * p.groups + g);
        const float shift = p.form == LinearForm::U8 ? 128 : 0;
        const float pair[2] = {s.scales[at], s.offsets[at] + shift * s.scales[at]};
        std::memcpy(scales + 8 * g, pair, 8);
      }
      if (p.form == LinearForm::U4) return pack_halves(in, s.cols, chunks);
      std::memcpy(chunks, in, static_cast<size_t>(width));
      return flip(chunks, width, 0x80);
    case LinearForm::Q4_K:
      for (int64_t b = 0; b < p.blocks; b += 8)
        pack_q4_k(in + 144 * (b / 8), std::min<int64_t>(8, p.blocks - b), chunks + 16 * b, scales + 16 * (b / 8));
  }
}

PackedLayout layout(LinearForm form, int64_t rows, int64_t cols, int64_t group) {
  PackedLayout p;
  p.form = form, p.rows = rows, p.cols = cols;
  const int64_t columns = chunk_columns(form);
  p.blocks = (cols + 31) / 32;
  // Codes come in whole blocks, as those of x do.
  p.chunks = columns < 16 ? (cols + columns - 1) / columns : p.blocks * (32 / columns);
  p.groups = form == LinearForm::U8 || form == LinearForm::U4 ? cols / group : 0;
  p.scale_bytes = scale_bytes(p);
  p.scales = 16 * p.rows * p.chunks;
  p.bytes = p.scales + (p.rows * p.scale_bytes + 15) / 16 * 16;
  return p;
}

}  // namespace

PackedLayout packed_layout(const StoredMatrix& s) {
  const std::optional<LinearForm> form = form_of(s.type, s.bits);
  if (!form) refuse(s, "has elements the GPU does not multiply");
  check(s);
  return layout(*form, s.rows, s.cols, s.group);
}

PackedLayout packed_layout(const Matrix& m) {
  return layout(form_of(m.type, m.bits).value(), m.rows, m.cols, m.group);
}

void pack_rows(const StoredMatrix& s, const PackedLayout& p, int64_t begin, int64_t end, char* chunks, char* scales) {
  for (int64_t row = begin; row < end; ++row)
    pack_row(s, p, row, chunks + 16 * p.chunks * (row - begin), scales + p.scale_bytes * (row - begin));
}

std::vector<char> pack(const StoredMatrix& s) {
  const PackedLayout p = packed_layout(s);
  std::vector<char> out(static_cast<size_t>(p.bytes));
  pack_rows(s, p, 0, p.rows, out.data(), out.data() + p.scales);
  return out;
}

Linear linear_of(const PackedLayout& p, const char* data) {
  Linear out{};
  out.w = data;
  out.scales = data + p.scales;
  out.rows = static_cast<int32_t>(p.rows);
  out.cols = static_cast<int32_t>(p.cols);
  out.blocks = static_cast<int32_t>(p.blocks);
  out.chunks = static_cast<int32_t>(p.chunks);
  out.groups = static_cast<int32_t>(p.groups);
  out.group_share = static_cast<float>(out.groups) / static_cast<float>(out.blocks);
  out.split = linear_split(out.rows, out.chunks);
  return out;
}

}  // namespace moshi::gpu
