// What the model lays down in the device's memory beside numbers; the same bytes for host and GPU, so that a recorded
// step finds the next step's in the same place.
#pragma once

#include <cstdint>

namespace moshi {

// One row of a transformer call.
struct RowData {
  const char* const* pages;  // of the session's ring, laid out as in model/kv_cache.h
  int32_t first, last;       // the positions it sees, its own being the last; position p is ring row p % capacity
};

// What one session's convolutions remember, all in one piece.
struct StreamData {
  float* memory;
  int32_t fresh;  // 1: nothing yet, whatever the memory holds
  int32_t unused;
};

inline constexpr int32_t kFree = -3;  // this token is the model's to choose

// How one row's token is drawn from its logits.
struct DrawData {
  float temperature;  // 0 = greedy
  int32_t top_k;      // 0 = no limit
  float top_p;        // 0 = off; otherwise top_k is ignored
  float uniform;      // in [0, 1): the point on the line of weights in order of token id
  int32_t given;      // the token that is taken whatever is drawn, or kFree
  float penalty;      // of the tokens that follow one another from `recent` on, each there once; 1 = none
  int32_t recent, recent_count;
  int32_t favored;  // this token's logit is raised by `favor`
  float favor;
};

}  // namespace moshi
