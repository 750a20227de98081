// codes[i] = the row of table [bins, dim] nearest to row i of x [n, dim], the first among equals. Two launches: one
// block would read a whole codebook alone.
#include "cuda/kernels/nearest.h"

#include "cuda/gpu.h"

namespace moshi {

namespace {

using namespace gpu;

constexpr int kColumns = 64;  // of the table at a time

GPU_DEVICE bool nearer(const Candidate& a, const Candidate& b) {
  return a.distance < b.distance || (a.distance == b.distance && a.bin < b.bin);
}

// The warp's nearest, in every lane.
GPU_DEVICE Candidate warp_nearest(Candidate mine) {
  for (int bit = kWarp / 2; bit > 0; bit /= 2) {
    const Candidate other{shuffle_xor(kAll, mine.distance, bit), shuffle_xor(kAll, mine.bin, bit)};
    if (nearer(other, mine)) mine = other;
  }
  return mine;
}

// Where nothing is near, not even at an infinite distance.
GPU_DEVICE Candidate nothing() {
  return {__builtin_inff(), 0};
}

}  // namespace

// parts [n, parts]: the nearest of each part's bins. Grid (nearest_parts_of(bins), nearest_groups(n)), kNearestRows
// warps. Distances are summed as on the CPU, columns in their order, even and odd ones apart.
GPU_KERNEL(kNearestRows * 32) nearest_parts(Nearest a) {
  // One column more, so that the same column of 32 bins lies in 32 banks.
  GPU_SHARED(float, tile, kNearestBins*(kColumns + 1));
  const int first_bin = block_x() * kNearestBins, bin = first_bin + lane();
  const int row = block_y() * kNearestRows + warp();
  const float* x = a.x + static_cast<int64_t>(row < a.n ? row : a.n - 1) * a.dim;
  float even = 0, odd = 0;
  for (int begin = 0; begin < a.dim; begin += kColumns) {
    const int columns = a.dim - begin < kColumns ? a.dim - begin : kColumns;
    barrier();
    for (int i = thread(); i < kNearestBins * kColumns; i += threads()) {
      const int of = i / kColumns, column = i % kColumns;
      // Bins and columns that do not exist are not looked at.
      if (first_bin + of < a.bins && column < columns)
        tile[of * (kColumns + 1) + column] = a.table[(first_bin + of) * a.row_floats + begin + column];
    }
    barrier();
    const float* entry = tile + lane() * (kColumns + 1);
    for (int column = 0; bin < a.bins && column < columns; column += 2) {
      const float one = x[begin + column] - entry[column];
      even = multiply_add(one, one, even);
      if (column + 1 == columns) break;
      const float other = x[begin + column + 1] - entry[column + 1];
      odd = multiply_add(other, other, odd);
    }
  }
  const float distance = even + odd;
  const Candidate mine = bin < a.bins && distance < __builtin_inff() ? Candidate{distance, bin} : nothing();
  const Candidate best = warp_nearest(mine);
  if (lane() == 0 && row < a.n) a.parts[static_cast<int64_t>(row) * blocks_x() + block_x()] = best;
}

// The nearest of all parts, taken off what is left where that is asked for. Grid (n), one warp.
GPU_KERNEL(32) nearest_choose(Nearest a) {
  const int count = (a.bins + kNearestBins - 1) / kNearestBins;
  const Candidate* parts = a.parts + static_cast<int64_t>(block_x()) * count;
  Candidate best = nothing();
  for (int i = lane(); i < count; i += kWarp)
    if (nearer(parts[i], best)) best = parts[i];
  best = warp_nearest(best);
  if (lane() == 0) a.codes[block_x() * a.code_stride] = best.bin;
  if (!a.rest) return;
  float* rest = a.rest + static_cast<int64_t>(block_x()) * a.dim;
  for (int i = lane(); i < a.dim; i += kWarp) rest[i] -= a.table[best.bin * a.row_floats + i];
}

}  // namespace moshi
