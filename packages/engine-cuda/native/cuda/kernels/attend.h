// What attention over rings takes; the same bytes on host and GPU.
#pragma once

#include <cstdint>

#include "model/device_data.h"

namespace moshi {

struct Attend {
  const float* q;       // [rows, q_stride]: heads of head_dim values
  float* out;           // [rows, out_stride]
  const RowData* rows;  // [rows]
  int64_t q_stride, out_stride;
  int32_t layer, layers, heads, kv_heads, head_dim;
  int32_t page, capacity;  // in positions
};

// Bytes of shared memory of a block of so many warps.
constexpr int attend_shared_bytes(int warps, int head_dim) {
  return warps * (head_dim + 2) * 4;
}

}  // namespace moshi
