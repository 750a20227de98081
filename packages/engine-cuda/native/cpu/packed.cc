#include "cpu/packed.h"

#include <algorithm>
#include <cstring>

#include "core/quant.h"

namespace moshi {

namespace {

constexpr int64_t kRows = kTileRows;

template <typename T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <typename T>
void store(char* p, T value) {
  std::memcpy(p, &value, sizeof value);
}

bool four_bits(const Matrix& m) {
  return m.type == DType::Q4_0 || m.type == DType::Q4_K || (m.type == DType::U8 && m.bits == 4);
}

int64_t chunk_blocks(DType type) {
  return type == DType::Q4_K ? 8 : 2;
}

// What stands before the codes of a chunk, and before the first chunk of a tile.
int64_t chunk_head(const Matrix& m) {
  switch (m.type) {
    case DType::Q8_0:
    case DType::Q4_0:
      return 64;
    case DType::U8:
      return 256;
    case DType::Q4_K:
      return 320;
    default:
      return 0;
  }
}

int64_t tile_head(const Matrix& m) {
  return m.type == DType::I8 ? 64 : 0;
}

int64_t code_bytes(const Matrix& m) {
  return four_bits(m) ? 256 : 512;
}

int64_t chunk_bytes(const Matrix& m) {
  return chunk_head(m) + chunk_blocks(m.type) * code_bytes(m);
}

// The codes of block b of the row, 0 … 255, from what the file has.
void read_codes(const StoredMatrix& s, const char* row, int64_t b, uint8_t codes[32]) {
  switch (s.type) {
    case DType::Q8_0:
      for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(row[34 * b + 2 + i] ^ 0x80);
      return;
    case DType::Q4_0:
      for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(row[18 * b + 2 + i % 16]) >> (i < 16 ? 0 : 4) & 15;
      return;
    case DType::Q4_K: {
      const char* at = row + 144 * (b / 8) + 16 + 32 * (b % 8 / 2);
      for (int i = 0; i < 32; ++i) codes[i] = static_cast<uint8_t>(at[i]) >> (b % 2 ? 4 : 0) & 15;
      return;
    }
    default: {
      const int64_t count = std::min<int64_t>(32, s.cols - 32 * b);
      const uint8_t flip = s.type == DType::I8 ? 0x80 : 0;
      for (int64_t i = 0; i < 32; ++i) codes[i] = i < count ? static_cast<uint8_t>(row[32 * b + i]) ^ flip : flip;
    }
  }
}

// Place of column i of a block, row r, among its codes.
int64_t code_at(int64_t i, int64_t r) {
  return i / 4 * 64 + r * 4 + i % 4;
}

void write_codes(bool four, const uint8_t codes[32], int64_t r, char* out) {
  for (int64_t i = 0; i < (four ? 16 : 32); i += 4) {
    uint8_t word[4];
    for (int64_t j = 0; j < 4; ++j) word[j] = four ? codes[i + j] | codes[i + j + 16] << 4 : codes[i + j];
    std::memcpy(out + code_at(i, r), word, 4);
  }
}

void pack_quantized(const StoredMatrix& s, const Matrix& m, int64_t tile, char* out) {
  const int64_t block = block_elements(s.type), padded = (s.cols + block - 1) / block * block;
  const int64_t width = block == 1 ? s.cols : stored_bytes(s.type, padded);
  const int64_t blocks = (s.cols + 31) / 32, per_chunk = chunk_blocks(m.type);
  const int64_t first = tile * kRows, rows = std::min(kRows, s.rows - first);
  for (int64_t r = 0; r < rows; ++r) {
    const char* row = s.bytes.data() + (first + r) * width;
    if (s.type == DType::I8) store(out + 4 * r, s.scales[static_cast<size_t>(first + r)]);
    for (int64_t b = 0; b < blocks; ++b) {
      char* chunk = out + tile_head(m) + b / per_chunk * chunk_bytes(m);
      const int64_t at = b % per_chunk;
      uint8_t codes[32];
      read_codes(s, row, b, codes);
      write_codes(four_bits(m), codes, r, chunk + chunk_head(m) + at * code_bytes(m));
      if (s.type == DType::Q8_0 || s.type == DType::Q4_0)
        std::memcpy(chunk + 32 * at + 2 * r, row + dtype_bytes(s.type) * b, 2);
      if (s.type == DType::U8) {
        const auto group = static_cast<size_t>((first + r) * (s.cols / s.group) + 32 * b / s.group);
        store(chunk + 64 * at + 4 * r, s.scales[group]);
        store(chunk + 128 + 64 * at + 4 * r, s.offsets[group]);
      }
      if (s.type == DType::Q4_K) {
        const char* super = row + 144 * (b / 8);
        std::memcpy(chunk + 2 * r, super, 2);
        std::memcpy(chunk + 32 + 2 * r, super + 2, 2);
        uint8_t scale, minimum;
        q4_k_scale(reinterpret_cast<const uint8_t*>(super + 4), static_cast<int>(at), scale, minimum);
        chunk[64 + 32 * at + r] = static_cast<char>(scale);
        chunk[64 + 32 * at + 16 + r] = static_cast<char>(minimum);
      }
    }
  }
}

}  // namespace

int64_t packed_cols(const Matrix& m) {
  if (m.type == DType::BF16) return (m.cols + 1) / 2 * 2;
  if (!is_quantized(m.type)) return m.cols;
  const int64_t chunk = 32 * chunk_blocks(m.type);
  return (m.cols + chunk - 1) / chunk * chunk;
}

int64_t tile_bytes(const Matrix& m) {
  const int64_t cols = packed_cols(m);
  if (!is_quantized(m.type)) return cols * kRows * dtype_bytes(m.type);
  return tile_head(m) + cols / (32 * chunk_blocks(m.type)) * chunk_bytes(m);
}

void pack_tile(const StoredMatrix& s, const Matrix& m, int64_t tile, char* out) {
  if (is_quantized(s.type)) return pack_quantized(s, m, tile, out);
  const int64_t first = tile * kRows, rows = std::min(kRows, s.rows - first);
  const char* in = s.bytes.data() + first * s.cols * dtype_bytes(s.type);
  // A cache line of each row at a time: what is read and what is written both stay in the first cache.
  const auto copy = [&]<typename T>(T, auto place) {
    constexpr int64_t kSize = sizeof(T), kLine = 64 / kSize;
    for (int64_t begin = 0; begin < s.cols; begin += kLine)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = begin; k < std::min(s.cols, begin + kLine); ++k)
          store(out + place(k, r) * kSize, load<T>(in + (r * s.cols + k) * kSize));
  };
  const auto plain = [](int64_t k, int64_t r) { return k * kRows + r; };
  if (s.type == DType::F32)
    copy(float{}, plain);
  else if (s.type == DType::F16)
    copy(uint16_t{}, plain);
  else
    copy(uint16_t{}, [](int64_t k, int64_t r) { return (k / 2 * kRows + r) * 2 + k % 2; });
}

void unpack_tile(const Matrix& m, const char* tile, float* out) {
  const int64_t cols = packed_cols(m);
  if (!is_quantized(m.type)) {
    for (int64_t k = 0; k < cols; ++k)
      for (int64_t r = 0; r < kRows; ++r) {
        const int64_t plain = k * kRows + r, paired = (k / 2 * kRows + r) * 2 + k % 2;
        out[plain] = m.type == DType::F32    ? load<float>(tile + 4 * plain)
                     : m.type == DType::BF16 ? bf16_to_float(load<uint16_t>(tile + 2 * paired))
                                             : f16_to_float(load<uint16_t>(tile + 2 * plain));
      }
    return;
  }
  const int64_t per_chunk = chunk_blocks(m.type);
  const bool four = four_bits(m);
  for (int64_t b = 0; b < cols / 32; ++b) {
    const char* chunk = tile + tile_head(m) + b / per_chunk * chunk_bytes(m);
    const int64_t at = b % per_chunk;
    const char* codes = chunk + chunk_head(m) + at * code_bytes(m);
    for (int64_t r = 0; r < kRows; ++r) {
      float scale = 1, offset = 0;
      if (m.type == DType::Q8_0 || m.type == DType::Q4_0) {
        scale = f16_to_float(load<uint16_t>(chunk + 32 * at + 2 * r));
      } else if (m.type == DType::I8) {
        scale = load<float>(tile + 4 * r);
      } else if (m.type == DType::U8) {
        scale = load<float>(chunk + 64 * at + 4 * r);
        offset = load<float>(chunk + 128 + 64 * at + 4 * r);
      } else {
        const auto* pair = reinterpret_cast<const uint8_t*>(chunk + 64 + 32 * at + r);
        scale = f16_to_float(load<uint16_t>(chunk + 2 * r)) * static_cast<float>(pair[0]);
        offset = -f16_to_float(load<uint16_t>(chunk + 32 + 2 * r)) * static_cast<float>(pair[16]);
      }
      const int zero = m.type == DType::Q8_0 || m.type == DType::I8 ? 128 : m.type == DType::Q4_0 ? 8 : 0;
      for (int64_t i = 0; i < 32; ++i) {
        const auto byte = static_cast<uint8_t>(codes[code_at(four ? i % 16 : i, r)]);
        const int code = four ? byte >> (i < 16 ? 0 : 4) & 15 : byte;
        out[(32 * b + i) * kRows + r] = scale * static_cast<float>(code - zero) + offset;
      }
    }
  }
}

}  // namespace moshi
