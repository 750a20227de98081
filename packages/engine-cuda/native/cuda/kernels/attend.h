// What attention over rings takes; the same bytes on host and GPU.
#pragma once

#include <cstdint>

namespace moshi {

// One row of a call, in the device's memory, so that a recorded graph serves every step.
struct AttendRow {
  const char* const* pages;  // of the session's ring, laid out as in model/kv_cache.h
  int32_t first, last;       // the positions it sees; position p is ring row p % capacity
};

struct Attend {
  const float* q;         // [rows, q_stride]: heads of head_dim values
  float* out;             // [rows, out_stride]
  const AttendRow* rows;  // [rows]
  int64_t q_stride, out_stride;
  int32_t layer, layers, heads, kv_heads, head_dim;
  int32_t page, capacity;  // in positions
};

// Bytes of shared memory of a block of so many warps.
constexpr int attend_shared_bytes(int warps, int head_dim) {
  return warps * (head_dim + 2) * 4;
}

}  // namespace moshi
