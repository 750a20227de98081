// What attention over rings takes; the same bytes on host and GPU.
#pragma once

#include <cstdint>

#include "cuda/kernels/linear.h"
#include "model/device_data.h"

namespace moshi {

struct Attend {
  const float* q;  // [rows, q_stride]: heads of head_dim values
  // [rows, heads * head_dim] as floats, or, where out is null, as a linear layer over codes takes them; then heads are
  // whole blocks of 32.
  float* out;
  int8_t* codes;
  InputScale* scales;
  const RowData* rows;  // [rows]
  float* parts;         // [rows, heads, pages, head_dim + kAttendEnd]; null where a ring is one page
  int64_t q_stride;
  int32_t layer, layers, heads, kv_heads, head_dim;
  int32_t page, capacity;  // in positions
};

// Behind the weighted sum of a page's values: the highest score and the total of the weights.
inline constexpr int kAttendEnd = 2;
inline constexpr int kAttendWarps = 8;  // of a block at most
inline constexpr int kAttendEach = 32;  // positions of a page that are worth a warp

constexpr int attend_warps(int page) {
  const int warps = (page + kAttendEach - 1) / kAttendEach;
  return warps < kAttendWarps ? warps : kAttendWarps;
}
// Bytes of shared memory of a block of so many warps.
constexpr int attend_shared_bytes(int warps, int head_dim) {
  return warps * (head_dim + 2) * 4;
}

}  // namespace moshi
