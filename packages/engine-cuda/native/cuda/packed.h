// How the GPU keeps a weight matrix: two planes, row by row, each 16-byte aligned. The first holds chunks of 16 bytes,
// one load of a lane; the second what scales them. Columns that do not exist are zeros.
//   form       chunk                            scales
//   F32        4 columns
//   F16, BF16  8 columns
//   Q8_0       16 codes                         f16 [rows, blocks]
//   I8         16 codes                         f32 [rows]
//   U8         16 codes - 128                   {f32 scale, f32 offset + 128 scale} [rows, groups]
//   Q4_0       32 codes - 8, two's complement   f16 [rows, blocks]
//   U4         32 codes                         {f32 scale, f32 offset} [rows, groups]
//   Q4_K       32 codes                         {f16 d, f16 m, pairs [12]} [rows, blocks / 8, rounded up]
// A chunk of 32 codes has columns 0 … 15 in the low halves of its bytes and 16 … 31 in the high ones, so that a mask
// makes four neighbours of each word. The pairs of Q4_K, six bits of scale below six of minimum: the low 8 bits of pair
// g in byte g, its high 4 in half g of bytes 8 … 11.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/kernels/linear.h"
#include "model/backend.h"

namespace moshi::gpu {

struct PackedLayout {
  LinearForm form = LinearForm::F32;
  int64_t rows = 0, cols = 0;
  int64_t blocks = 0;       // of 32 columns
  int64_t chunks = 0;       // of a row
  int64_t groups = 0;       // of a row: U8's and U4's scales
  int64_t scale_bytes = 0;  // of a row
  int64_t scales = 0;       // where the second plane starts
  int64_t bytes = 0;        // of both planes
};

// Throws Error(kBadModel) for a matrix whose parts do not have the sizes its shape asks for.
PackedLayout packed_layout(const StoredMatrix& stored);
// Of what is packed already.
PackedLayout packed_layout(const Matrix& packed);
// Rows [begin, end) of both planes, into memory of zeros.
void pack_rows(const StoredMatrix& stored, const PackedLayout& layout, int64_t begin, int64_t end, char* chunks,
               char* scales);
std::vector<char> pack(const StoredMatrix& stored);

// y (+)= w x of a packed matrix at `data`; x and y are the caller's to fill in.
Linear linear_of(const PackedLayout& layout, const char* data);

}  // namespace moshi::gpu
