// What all threads of a block have to know of each other's whole numbers, of 32 or 64 bits: sums, maxima, prefixes.
#pragma once

#include "cuda/gpu.h"

namespace moshi::gpu {

// Over a warp, in every lane.
template <typename Join, typename T>
GPU_DEVICE T over_warp(T value) {
  return over_lanes<Join>(value, kWarp / 2);
}

struct Prefix {
  uint64_t before, total;
};

// What the warps of a block tell each other, places [2][32] of the block. They take turns, so that one barrier a time
// is enough.
struct Meeting {
  uint64_t* places;
  int turn = 0;

  GPU_DEVICE uint64_t* next() {
    turn ^= 1;
    return places + kWarp * turn;
  }
  // Over the block, in every thread; zero must change nothing.
  template <typename Join, typename T>
  GPU_DEVICE T over_block(T value) {
    uint64_t* place = next();
    value = over_warp<Join>(value);
    if (lane() == 0) place[warp()] = value;
    barrier();
    return over_warp<Join>(lane() < warps() ? static_cast<T>(place[lane()]) : T{0});
  }
  // The sum of the values of all threads before the caller, and of all.
  GPU_DEVICE Prefix prefix(uint64_t value) {
    uint64_t* place = next();
    uint64_t sum = value;
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int from = lane() < distance ? lane() : lane() - distance;
      const uint64_t low = shuffle_index(kAll, static_cast<uint32_t>(sum), from);
      const uint64_t high = shuffle_index(kAll, static_cast<uint32_t>(sum >> 32), from);
      if (lane() >= distance) sum += high << 32 | low;
    }
    if (lane() == kWarp - 1) place[warp()] = sum;
    barrier();
    const uint64_t all = lane() < warps() ? place[lane()] : 0;
    return {over_warp<Sum>(lane() < warp() ? all : 0) + sum - value, over_warp<Sum>(all)};
  }
};

}  // namespace moshi::gpu
