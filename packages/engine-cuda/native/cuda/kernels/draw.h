// How a launch of draw() is made; the same on host and GPU.
#pragma once

#include <cstdint>

namespace moshi {

inline constexpr int kDrawMost = 65535;      // tokens of a row
inline constexpr int kDrawAtHand = 8192;     // tokens that fit into a block's shared memory
inline constexpr int kDrawShortlist = 1024;  // tokens that a block keeps there of more

// Of a block, one a row; any number of whole warps is right.
constexpr int draw_threads(int card) {
  return card <= 4096 ? 256 : 1024;
}
constexpr int draw_shared_bytes(int card) {
  return card <= kDrawAtHand ? 4 * card : 16 * kDrawShortlist;
}
// Words of scratch memory that a row needs.
constexpr int64_t draw_scratch(int card) {
  return card <= kDrawAtHand ? 0 : card;
}

}  // namespace moshi
