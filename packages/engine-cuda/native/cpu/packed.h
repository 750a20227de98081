// How the CPU keeps a weight matrix: tiles of 16 rows, the same for every instruction set, so that a vector holds one
// column (or four neighbouring codes) of many rows and no sum ever crosses lanes. k counts columns, r rows of a tile.
//   F32   [k][16] float
//   F16   [k][16] half
//   BF16  [k / 2][16][2]
//   quantized, in chunks of two blocks of 32 columns:
//   Q8_0  { f16 scale [2][16], codes [2][512] }                         code + 128
//   Q4_0  { f16 scale [2][16], codes [2][256] }                         code as in the file, 0 … 15
//   I8    f32 scale [16], then { codes [2][512] }                       code + 128
//   U8    { f32 scale [2][16], f32 offset [2][16], codes [2][512 or 256] }
//   Q4_K, in chunks of eight blocks:
//         { f16 d [16], f16 m [16], scale and minimum u8 [8][2][16], codes [8][256] }
//   codes of a block, 8 bits: [8][16][4], column 4 g + j at [g][r][j]; 4 bits: [4][16][4], columns 4 g + j in the low
//   halves and 16 + 4 g + j in the high ones. Columns and rows that do not exist are zeros.
#pragma once

#include <cstdint>

#include "model/backend.h"

namespace moshi {

inline constexpr int64_t kTileRows = 16;

// Columns a packed row takes.
int64_t packed_cols(const Matrix& matrix);
// Bytes of one tile.
int64_t tile_bytes(const Matrix& matrix);
inline int64_t tile_count(const Matrix& matrix) {
  return (matrix.rows + kTileRows - 1) / kTileRows;
}

// Writes tile `tile` of the packed form to `out`, which is zeroed.
void pack_tile(const StoredMatrix& stored, const Matrix& layout, int64_t tile, char* out);
// The values of a tile as floats [packed_cols][16].
void unpack_tile(const Matrix& matrix, const char* tile, float* out);

}  // namespace moshi
