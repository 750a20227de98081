// What rotating queries and keys and appending keys and values to rings takes; the same bytes on host and GPU.
#pragma once

#include <cstdint>

#include "model/device_data.h"

namespace moshi {

struct Append {
  float* qkv;              // [rows, stride]: heads of queries, then of keys, then of values
  const RowData* rows;     // [rows]
  const float* rotations;  // [rows, head_dim / 2, 2]: cosine and sine of each pair; null: nothing is rotated
  int64_t stride;
  int32_t layer, layers, heads, kv_heads, head_dim;
  int32_t page, capacity;  // in positions
  bool interleaved;        // pairs (2 i, 2 i + 1), else (i, i + head_dim / 2)
};

}  // namespace moshi
