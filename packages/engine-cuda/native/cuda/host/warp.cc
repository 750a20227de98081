// What the lanes of a warp do together, given what each of them brought.
#include <bit>
#include <string>

#include "cuda/gpu.h"

namespace moshi::gpu::host {

namespace {

template <typename From>
void shuffle_from(uint32_t mask, const Lane* lanes, From from) {
  for (int to = 0; to < 32; ++to) {
    if (!(mask >> to & 1)) continue;
    const int source = from(to, lanes[to].argument);
    if (!(mask >> source & 1)) fault("a shuffle reads a lane that its mask does not name");
    std::memcpy(lanes[to].out, lanes[source].in, 4);
  }
}

// A matrix product as PTX spreads it over a warp. Of A [16 or 8, k] and B [k, 8] a register holds kPack elements that
// follow one another in k; lane l has them for row or column l / 4, from k = l % 4 * kPack on. A's second register is 8
// rows further down; the registers after it, and B's second, are 4 * kPack further in k.
template <typename D, int kD, int kA, int kB, int kPack, typename Element>
void product(const Lane* lanes, Element element) {
  constexpr int kRows = kD * 4, kDepth = 4 * kPack * kB;
  using Mine = Fragments<D, kD, kA, kB>;
  const auto mine = [&](int lane) { return static_cast<const Mine*>(lanes[lane].in); };
  D a[kRows][kDepth], b[kDepth][8];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < kPack; ++i) {
      const int k = lane % 4 * kPack + i, line = lane / 4;
      for (int r = 0; r < kA; ++r) a[line + r % 2 * 8][k + r / 2 * 4 * kPack] = element(mine(lane)->a[r], i);
      for (int r = 0; r < kB; ++r) b[k + r * 4 * kPack][line] = element(mine(lane)->b[r], i);
    }
  // D's pairs lie side by side in a row; the second pair is 8 rows further down.
  for (int lane = 0; lane < 32; ++lane) {
    auto* out = static_cast<D*>(lanes[lane].out);
    for (int i = 0; i < kD; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      D total = mine(lane)->d[i];
      for (int k = 0; k < kDepth; ++k) total += a[row][k] * b[k][column];
      out[i] = total;
    }
  }
}

int byte_of(uint32_t word, int i) {
  return static_cast<int8_t>(word >> 8 * i);
}
float bf16_of(uint32_t word, int i) {
  return bf16_to_float(static_cast<uint16_t>(word >> 16 * i));
}

}  // namespace

void shuffle_down(uint32_t mask, const Lane* lanes) {
  shuffle_from(mask, lanes, [](int lane, int distance) { return lane + distance < 32 ? lane + distance : lane; });
}
void shuffle_xor(uint32_t mask, const Lane* lanes) {
  shuffle_from(mask, lanes, [](int lane, int flip) { return (lane ^ flip) & 31; });
}
void shuffle_index(uint32_t mask, const Lane* lanes) {
  shuffle_from(mask, lanes, [](int, int from) { return from & 31; });
}
void meet(uint32_t, const Lane*) {}

void mma_s8_8x8x16(uint32_t, const Lane* lanes) {
  product<int, 2, 1, 1, 4>(lanes, byte_of);
}
void mma_s8_16x8x32(uint32_t, const Lane* lanes) {
  product<int, 4, 4, 2, 4>(lanes, byte_of);
}
void mma_bf16_16x8x16(uint32_t, const Lane* lanes) {
  product<float, 4, 4, 2, 2>(lanes, bf16_of);
}

}  // namespace moshi::gpu::host
