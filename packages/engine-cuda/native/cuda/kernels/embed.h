// What looks rows up in tables; the same bytes on host and GPU.
#pragma once

#include <cstdint>

namespace moshi {

inline constexpr int kEmbedMost = 40;  // tables in one launch

struct EmbedTable {
  const char* data;  // [entries], row_bytes apart
  int64_t row_bytes;
  int32_t entries;
  int32_t place;  // of its id among those of a row
};

// y [n, dim] (+)= the tables' rows, summed in their order; an id outside of its table stands for zeros.
struct Embed {
  EmbedTable tables[kEmbedMost];
  const int32_t* ids;  // [n, id_stride]
  float* y;            // [n, dim]
  int64_t id_stride, dim;
  int32_t count;  // of tables
  bool add;       // to what y holds
};

}  // namespace moshi
