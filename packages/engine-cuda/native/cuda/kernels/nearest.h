// What the search for the nearest entry of a codebook takes; the same bytes on host and GPU.
#pragma once

#include <cstdint>

namespace moshi {

// The nearest of some bins.
struct Candidate {
  float distance;  // squared
  int32_t bin;
};

struct Nearest {
  const float* table;  // [bins, row_floats], the first dim of each
  const float* x;      // [n, dim]
  Candidate* parts;    // [n, nearest_parts_of(bins)]
  int32_t* codes;      // [n], code_stride apart
  float* rest;         // [n, dim], off which what was found is taken in the end: x, or null
  int64_t row_floats, code_stride;
  int32_t bins, dim, n;
};

inline constexpr int kNearestRows = 4;   // of x, for which a block reads its bins once: a warp each
inline constexpr int kNearestBins = 32;  // of a block: a lane each

constexpr int nearest_parts_of(int bins) {
  return (bins + kNearestBins - 1) / kNearestBins;
}
// Blocks along y.
constexpr int nearest_groups(int n) {
  return (n + kNearestRows - 1) / kNearestRows;
}

}  // namespace moshi
