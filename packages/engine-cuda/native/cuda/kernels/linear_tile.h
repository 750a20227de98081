// Linear layers for few rows of x: y [n, y_stride] (+)= x [n] times w [rows, cols] of cuda/packed.h, n = 1 … 8. A tile
// is what a block takes at a time: `split` of its warps share the rows of one group, one row of w where n is 1, else
// two. A lane takes a chunk of 16 bytes of each row, then those 32 split chunks further.
//
// x is read where it lies, not copied to shared memory: all warps of a multiprocessor want the same few kB, so the
// first cache has them, no block waits for a copy, and 8 rows of 11264 columns would not fit beside each other. Weights
// are streamed past that cache.
//
// A sum's order depends on rows and cols alone: n only says how many sums a lane carries side by side. Products are
// added by multiply_add lest the compiler fuse some in one kernel and not in another.
#pragma once

#include "cuda/gpu.h"
#include "cuda/kernels/forms.h"
#include "cuda/kernels/linear_end.h"

namespace moshi::gpu {

constexpr int power_of_two(int least) {
  int power = 1;
  while (power < least) power *= 2;
  return power;
}

// What a warp does at once for so many rows of x.
template <int kN>
struct Share {
  static constexpr int kRows = linear_rows_at_once(kN);         // of w
  static constexpr int kSums = power_of_two(kRows * kN);        // of them both
  static constexpr int kAhead = kN == 1 ? 4 : kN <= 4 ? 2 : 1;  // chunks of a row whose loads are in flight
  static constexpr int kLanes = kWarp / kSums;                  // that hold the same sum in the end
};

// The warp's sum of value l kCount / 32 in lane l, added up as warp_sum does, with as many shuffles as values instead
// of five times as many: in each step half of the lanes hand over half of the values and get the other half.
template <int kCount, int kBit = kWarp / 2, int kSize>
GPU_DEVICE float warp_sums(float (&values)[kSize]) {
  if constexpr (kBit == 0) {
    return values[0];
  } else if constexpr (kCount == 1) {
    return over_lanes<Sum>(values[0], kBit);
  } else {
    constexpr int kHalf = kCount / 2;
    const bool upper = lane() & kBit;
    GPU_UNROLL
    for (int j = 0; j < kHalf; ++j) {
      // Loaded before one is chosen: a choice among places would keep the array in memory.
      const float first = values[j], second = values[j + kHalf];
      values[j] = (upper ? second : first) + shuffle_xor(kAll, upper ? first : second, kBit);
    }
    return warp_sums<kHalf, kBit / 2>(values);
  }
}

// The rows of w that are tile `tile`'s, by a block of kWarps warps, for n <= kN rows of x. parts [kWarps, kSums] is the
// block's; it may be used again after the next barrier.
template <typename Form, int kN, int kWarps>
GPU_DEVICE void linear_tile(const Linear& a, int tile, int n, float* parts) {
  constexpr int kRows = Share<kN>::kRows, kSums = Share<kN>::kSums;
  constexpr int kAhead = Share<kN>::kAhead, kLanes = Share<kN>::kLanes;

  const int groups = kWarps / a.split;
  const int row = (tile * groups + warp() / a.split) * kRows;
  const auto chunks = static_cast<uint32_t>(a.chunks), step = static_cast<uint32_t>(kWarp * a.split);
  float sums[kSums] = {};
  for (auto chunk = static_cast<uint32_t>(warp() % a.split * kWarp + lane()); chunk < chunks; chunk += kAhead * step) {
    typename Form::Raw raw[kAhead][kRows];
    GPU_UNROLL
    for (int t = 0; t < kAhead; ++t) {
      // What does not exist is loaded as what is there, and not used.
      const uint32_t at = chunk + t * step < chunks ? chunk + t * step : chunk;
      GPU_UNROLL
      for (int r = 0; r < kRows; ++r) raw[t][r] = Form::load(a, row + r < a.rows ? row + r : a.rows - 1, at);
    }
    GPU_UNROLL
    for (int t = 0; t < kAhead; ++t) {
      const uint32_t at = chunk + t * step;
      if (at >= chunks) continue;
      typename Form::Weights weights[kRows];
      GPU_UNROLL
      for (int r = 0; r < kRows; ++r) weights[r] = Form::ready(raw[t][r], at);
      GPU_UNROLL
      for (int i = 0; i < kN; ++i) {
        // A row of x that does not exist is summed as the last one is, and not kept.
        const typename Form::Input input = Form::input(a, i < n ? i : n - 1, at);
        GPU_UNROLL
        for (int r = 0; r < kRows; ++r) sums[r * kN + i] = Form::meet(weights[r], input, sums[r * kN + i]);
      }
    }
  }

  // [warps][kSums]
  const float sum = warp_sums<kSums>(sums);
  if (lane() % kLanes == 0) parts[warp() * kSums + lane() / kLanes] = sum;
  barrier();
  const int group = thread() / (kRows * kN), of_group = thread() % (kRows * kN);
  const int i = of_group % kN, out = (tile * groups + group) * kRows + of_group / kN;
  if (group >= groups || out >= a.rows || i >= n) return;
  float total = 0;
  for (int part = 0; part < a.split; ++part) total += parts[(group * a.split + part) * kSums + of_group];
  float* y = a.y + i * a.y_stride + out;
  put_sum<Form>(a, out, total, y);
  activate_sum<Form>(a, y);
}

}  // namespace moshi::gpu
