// What linear layers on matrix units share: which part of a tile a warp multiplies, and where a lane finds its
// operands.
#pragma once

#include "cuda/gpu.h"
#include "cuda/kernels/gemm.h"

namespace moshi::gpu {

// 8 bytes of a row: two registers of a product.
struct alignas(8) Pair {
  uint32_t v[2];
};
GPU_DEVICE Pair load_pair(const char* shared) {
  return *reinterpret_cast<const Pair*>(shared);
}

// The sums of a warp, 16 kTall rows of w by every second group of 8 rows of x. Products of 16 x 8 take the same columns
// of both, in whatever order: lane l has row l / 4 of w, the one 8 further down, and row l / 4 of x; of the sums, those
// rows of w with rows 2 (l % 4) and + 1 of x.
template <GemmTile kTile>
struct MmaPart {
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns;
  static constexpr int kThreads = kTile.threads;
  static constexpr int kAcross = 2;                                        // warps along x
  static constexpr int kTall = kRows / 16 / (kThreads / kWarp / kAcross);  // products along rows
  static constexpr int kWide = kColumns / 8 / kAcross;                     // and along x

  // Rows of the tile.
  GPU_DEVICE static int row(int m, int half) { return (warp() / kAcross * kTall + m) * 16 + 8 * half + lane() / 4; }
  GPU_DEVICE static int column(int j) { return group(j) * 8 + lane() / 4; }
  GPU_DEVICE static int pair(int j) { return group(j) * 8 + lane() % 4 * 2; }
  GPU_DEVICE static int group(int j) { return kAcross * j + warp() % kAcross; }
  // Groups that x has nothing in are left out half a tile at a time, so that products need not wait for a check each.
  GPU_DEVICE static bool ends(int j, int columns) {
    return j % (kWide > 1 ? kWide / 2 : 1) == 0 && 8 * kAcross * j >= columns;
  }

  // To y, of which the tile begins at these rows of w and x.
  GPU_DEVICE void write(const Linear& a, int n, int first_row, int first_column, const float* row_scales) const {
    GPU_UNROLL
    for (int m = 0; m < kTall; ++m) {
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int out = first_row + row(m, half);
        if (out >= a.rows) continue;
        const float scale = row_scales ? row_scales[out] : 1.0f;
        GPU_UNROLL
        for (int k = 0; k < 2 * kWide; ++k) {
          const int i = first_column + pair(k / 2) + k % 2;
          if (i >= n) continue;
          float* y = a.y + i * a.y_stride + out;
          *y = multiply_add(sums[m][k / 2][2 * half + k % 2], scale, a.add ? *y : 0.0f);
        }
      }
    }
  }

  float sums[kTall][kWide][4] = {};
};

// Where a chunk of 16 bytes lies in rows of 128 bytes: what a warp reads together, a quarter of four rows that follow
// one another, is on different banks.
GPU_DEVICE int swizzled(int row, int chunk) {
  return row * 128 + 16 * (chunk ^ 2 * (row & 3));
}
// A lane's 8 bytes of a quarter of a row.
GPU_DEVICE Pair load_quarter(const char* shared, int row, int quarter) {
  return load_pair(shared + swizzled(row, 2 * quarter + lane() % 4 / 2) + lane() % 2 * 8);
}

}  // namespace moshi::gpu
