// What a warp sees of a page of a ring. As many lanes as a head has 16 bytes for, up to a power of two, share a
// position, the rest of the warp takes the positions after it. Such a group keeps a running maximum, total and weighted
// sum of values; at the end groups meet by shuffles. Shape has head_dim, page, capacity and what ring.h asks for.
#pragma once

#include "cuda/kernels/ring.h"

namespace moshi::gpu {

// Below every score, yet finite: its exponential is 0, its difference to itself is not a NaN.
constexpr float kNone = -1e30f;
constexpr int kLoads = 4;  // of keys that a lane has in flight together, and as many of values

// What a ring's elements are, of how many times 16 bytes a lane takes those of a position, and element i of those.
struct RingF32 {
  using Element = uint32_t;
  static constexpr int kChunks = 2;
  static constexpr bool kScaled = false;
  GPU_DEVICE static float value(const Int4* chunks, int i) { return __builtin_bit_cast(float, chunks[i / 4].v[i % 4]); }
};
struct RingF16 {
  using Element = uint16_t;
  static constexpr int kChunks = 1;
  static constexpr bool kScaled = false;
  GPU_DEVICE static float value(const Int4* chunk, int i) {
    return half_to_float(static_cast<uint16_t>(static_cast<uint32_t>(chunk->v[i / 2]) >> 16 * (i % 2)));
  }
};
struct RingQ8 {
  using Element = uint8_t;
  static constexpr int kChunks = 1;
  static constexpr bool kScaled = true;
  GPU_DEVICE static float value(const Int4* chunk, int i) {
    return static_cast<float>(static_cast<int8_t>(static_cast<uint32_t>(chunk->v[i / 4]) >> 8 * (i % 4) & 255u));
  }
};

// 16 bytes of a head from an element on, zeros beyond its end. Heads that are no multiple of 16 bytes do not lie where
// all can be loaded at once.
template <typename Ring, bool kWhole, bool kOld>
GPU_DEVICE Int4 chunk_of(const char* head, int element, int head_dim) {
  constexpr int kBytes = sizeof(typename Ring::Element);
  const auto* from = reinterpret_cast<const typename Ring::Element*>(head) + element;
  if constexpr (kWhole && kOld) return load_stream(reinterpret_cast<const Int4*>(from));
  if constexpr (kWhole) return *reinterpret_cast<const Int4*>(from);
  Int4 out = {};
  for (int i = 0; i < 16 / kBytes; ++i)
    if (element + i < head_dim)
      out.v[i * kBytes / 4] |= static_cast<int32_t>(uint32_t{from[i]} << 8 * (i * kBytes % 4));
  return out;
}

// What a row sees, in rows of its ring.
struct View {
  int first, last;  // where its first and last position lie
  int count, capacity;

  template <typename Shape>
  GPU_DEVICE View(const Shape& a, const RowData& row)
      : first(row.first % a.capacity),
        last(row.last % a.capacity),
        count(row.last - row.first + 1),
        capacity(a.capacity) {}
  GPU_DEVICE bool sees(int at) const {
    const int after = at < first ? at - first + capacity : at - first;
    return after < count;
  }
};

// The first and the last row of a page that is seen; between them there may be a gap, where the ring has gone round.
struct Stretch {
  int page, first, last;

  template <typename Shape>
  GPU_DEVICE Stretch(const Shape& a, const View& view, int number) : page(number * a.page) {
    const int end = page + a.page < a.capacity ? page + a.page : a.capacity;
    // A page whose beginning is not seen shows at first where the view begins, if anything; the same at its end.
    first = view.sees(page) ? page : view.first;
    last = view.sees(end - 1) ? end - 1 : view.last;
    if (first < page || first >= end) last = first - 1;
  }
  GPU_DEVICE bool empty() const { return last < first; }
};

// The highest score, the total of the weights, and the weighted sum of the values: the lane's columns of it.
template <typename Ring>
struct Seen {
  static constexpr int kElements = 16 / sizeof(typename Ring::Element), kColumns = Ring::kChunks * kElements;
  float top = kNone, total = 0, sum[kColumns] = {};

  GPU_DEVICE static int lanes_for(int head_dim) {
    int lanes = 1;
    while (lanes * kColumns < head_dim) lanes *= 2;
    return lanes;
  }
  // Of the lane's value i, where that many lanes share a position.
  GPU_DEVICE static int column(int lanes, int i) {
    return (lane() % lanes + i / kElements * lanes) * kElements + i % kElements;
  }
  // Calls each(column, sum): once for every column of the head.
  template <typename Each>
  GPU_DEVICE void sums(int head_dim, Each each) const {
    const int lanes = lanes_for(head_dim);
    GPU_UNROLL
    for (int i = 0; i < kColumns; ++i)
      if (lane() < lanes && column(lanes, i) < head_dim) each(column(lanes, i), sum[i]);
  }
};

// By one of so many warps that share the stretch; q [head_dim], head is that of keys and values. kWhole: a head is a
// multiple of 16 bytes. kOld: the ring was written by launches before this one.
template <typename Ring, bool kWhole, bool kOld, typename Shape>
GPU_DEVICE Seen<Ring> attend_stretch(const Shape& a, const RowData& row, const View& view, const Stretch& seen,
                                     const float* q, int head, int warp, int warps) {
  using Out = Seen<Ring>;
  constexpr int kBytes = sizeof(typename Ring::Element), kElements = Out::kElements;
  constexpr int kChunks = Ring::kChunks, kColumns = Out::kColumns;
  constexpr int kAtOnce = kWhole ? kLoads / kChunks : 1;  // positions of a group
  const int lanes = Out::lanes_for(a.head_dim), groups = kWarp / lanes, group = lane() / lanes;
  const float share = inverse_root(static_cast<float>(a.head_dim));
  float query[kColumns];
  GPU_UNROLL
  for (int i = 0; i < kColumns; ++i) {
    const int d = Out::column(lanes, i);
    query[i] = d < a.head_dim ? q[d] * share : 0;
  }

  const char* keys = ring_data<kBytes>(a, row, head, seen.page, 0);
  const char* values = ring_data<kBytes>(a, row, head, seen.page, 1);
  const float* key_scales = Ring::kScaled ? ring_scale<kBytes>(a, row, head, seen.page, 0) : nullptr;
  const float* value_scales = Ring::kScaled ? ring_scale<kBytes>(a, row, head, seen.page, 1) : nullptr;
  Out out;
  const int step = kAtOnce * groups;
  for (int from = seen.first + step * warp; from <= seen.last; from += step * warps) {
    bool counts[kAtOnce];
    Int4 key[kAtOnce][kChunks], value[kAtOnce][kChunks];
    float key_scale[kAtOnce], value_scale[kAtOnce];
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      const int at = from + n * groups + group;
      counts[n] = at <= seen.last && view.sees(at);
      // What is not seen need not be there: the first that is stands in for it.
      const int in_page = (counts[n] ? at : seen.first) - seen.page;
      const int64_t offset = static_cast<int64_t>(in_page) * a.head_dim * kBytes;
      GPU_UNROLL
      for (int c = 0; c < kChunks; ++c) {
        // Lanes beyond the head's end load its beginning, which their queries of zero take nothing of.
        const int d = kWhole && Out::column(lanes, c * kElements) >= a.head_dim ? 0 : Out::column(lanes, c * kElements);
        key[n][c] = chunk_of<Ring, kWhole, kOld>(keys + offset, d, a.head_dim);
        value[n][c] = chunk_of<Ring, kWhole, kOld>(values + offset, d, a.head_dim);
      }
      key_scale[n] = Ring::kScaled ? key_scales[in_page] : 1;
      value_scale[n] = Ring::kScaled ? value_scales[in_page] : 1;
    }
    float scores[kAtOnce];
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      scores[n] = 0;
      GPU_UNROLL
      for (int i = 0; i < kColumns; ++i) scores[n] = multiply_add(query[i], Ring::value(key[n], i), scores[n]);
    }
    for (int bit = lanes / 2; bit > 0; bit /= 2) {
      GPU_UNROLL
      for (int n = 0; n < kAtOnce; ++n) scores[n] += shuffle_xor(kAll, scores[n], bit);
    }
    float higher = out.top;
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      scores[n] = counts[n] ? scores[n] * key_scale[n] : kNone;
      higher = scores[n] > higher ? scores[n] : higher;
    }
    const float fade = exponential(out.top - higher);
    out.top = higher;
    out.total *= fade;
    GPU_UNROLL
    for (int i = 0; i < kColumns; ++i) out.sum[i] *= fade;
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      const float weight = counts[n] ? exponential(scores[n] - out.top) : 0;
      out.total += weight;
      GPU_UNROLL
      for (int i = 0; i < kColumns; ++i)
        out.sum[i] = multiply_add(weight * value_scale[n], Ring::value(value[n], i), out.sum[i]);
    }
  }

  // The warp's groups: every lane gets the same bits as its twins, since each step adds the same pair.
  float higher = out.top;
  for (int bit = lanes; bit < kWarp; bit *= 2) {
    const float other = shuffle_xor(kAll, higher, bit);
    higher = other > higher ? other : higher;
  }
  const float fade = exponential(out.top - higher);
  out.top = higher;
  out.total *= fade;
  GPU_UNROLL
  for (int i = 0; i < kColumns; ++i) out.sum[i] *= fade;
  for (int bit = lanes; bit < kWarp; bit *= 2) {
    out.total += shuffle_xor(kAll, out.total, bit);
    GPU_UNROLL
    for (int i = 0; i < kColumns; ++i) out.sum[i] += shuffle_xor(kAll, out.sum[i], bit);
  }
  return out;
}

}  // namespace moshi::gpu
