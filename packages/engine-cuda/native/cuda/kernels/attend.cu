// Attention of one query per row and head over a paged ring: out = softmax(q kᵀ / √head_dim) v.
// Grid (heads, rows, pages of the ring), at most kAttendWarps whole warps a block; head_dim is at most 256. A block
// takes what a row sees of one page, and leaves where that is nothing: how a row is summed depends on its own window
// alone. Where there are several pages, attend_join then joins what they gave. As many lanes as a head has 16 bytes
// for, up to a power of two, share a position, the rest of the warp takes the positions after it. Such a group keeps a
// running maximum, total and weighted sum of values; at the end groups meet by shuffles and warps in shared memory.
#include "cuda/kernels/attend.h"

#include "cuda/kernels/codes.h"
#include "cuda/kernels/ring.h"

namespace moshi {

namespace {

using namespace gpu;

constexpr int kThreads = kWarp * kAttendWarps;
constexpr int kLoads = 4;   // of keys that a lane has in flight together, and as many of values
constexpr int kJoined = 8;  // pages whose loads are in flight together
// Below every score, yet finite: its exponential is 0, its difference to itself is not a NaN.
constexpr float kNone = -1e30f;

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
template <typename Ring, bool kWhole>
GPU_DEVICE Int4 chunk_of(const char* head, int element, int head_dim) {
  constexpr int kBytes = sizeof(typename Ring::Element);
  const auto* from = reinterpret_cast<const typename Ring::Element*>(head) + element;
  if constexpr (kWhole) return load_stream(reinterpret_cast<const Int4*>(from));
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

  GPU_DEVICE View(const Attend& a, const RowData& row)
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

  GPU_DEVICE Stretch(const Attend& a, const View& view, int number) : page(number * a.page) {
    const int end = page + a.page < a.capacity ? page + a.page : a.capacity;
    // A page whose beginning is not seen shows at first where the view begins, if anything; the same at its end.
    first = view.sees(page) ? page : view.first;
    last = view.sees(end - 1) ? end - 1 : view.last;
    if (first < page || first >= end) last = first - 1;
  }
  GPU_DEVICE bool empty() const { return last < first; }
};

GPU_DEVICE float* part_of(const Attend& a, int head, int page) {
  const int pages = (a.capacity + a.page - 1) / a.page;
  return a.parts + ((static_cast<int64_t>(block_y()) * a.heads + head) * pages + page) * (a.head_dim + kAttendEnd);
}

// Value d of a head. As codes all lanes of a warp leave theirs together, values of one block.
GPU_DEVICE void leave(const Attend& a, int head, int d, float value) {
  const int64_t at = (static_cast<int64_t>(block_y()) * a.heads + head) * a.head_dim + d;
  if (a.out)
    a.out[at] = value;
  else
    quantize_block(value, a.codes + (at - lane()), a.scales + at / 32);
}

template <typename Ring, bool kWhole>
GPU_DEVICE void attend_page(const Attend& a) {
  constexpr int kBytes = sizeof(typename Ring::Element), kElements = 16 / kBytes;
  constexpr int kChunks = Ring::kChunks, kColumns = kChunks * kElements;
  constexpr int kAtOnce = kWhole ? kLoads / kChunks : 1;  // positions of a group
  const RowData row = a.rows[block_y()];
  const View view(a, row);
  const Stretch seen(a, view, block_z());
  if (seen.empty()) return;

  int lanes = 1;
  while (lanes * kColumns < a.head_dim) lanes *= 2;
  const int groups = kWarp / lanes, group = lane() / lanes;
  const int query_head = block_x(), head = query_head / (a.heads / a.kv_heads);
  const float* q = a.q + block_y() * a.q_stride + static_cast<int64_t>(query_head) * a.head_dim;
  const float share = inverse_root(static_cast<float>(a.head_dim));
  // Of chunk c its first one.
  const auto column = [&](int c) { return (lane() % lanes + c * lanes) * kElements; };
  float query[kColumns], sum[kColumns] = {};
  GPU_UNROLL
  for (int i = 0; i < kColumns; ++i) {
    const int d = column(i / kElements) + i % kElements;
    query[i] = d < a.head_dim ? q[d] * share : 0;
  }

  const char* keys = ring_data<kBytes>(a, row, head, seen.page, 0);
  const char* values = ring_data<kBytes>(a, row, head, seen.page, 1);
  const float* key_scales = Ring::kScaled ? ring_scale<kBytes>(a, row, head, seen.page, 0) : nullptr;
  const float* value_scales = Ring::kScaled ? ring_scale<kBytes>(a, row, head, seen.page, 1) : nullptr;
  float top = kNone, total = 0;
  const int step = kAtOnce * groups;
  for (int from = seen.first + step * warp(); from <= seen.last; from += step * warps()) {
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
        const int d = kWhole && column(c) >= a.head_dim ? 0 : column(c);
        key[n][c] = chunk_of<Ring, kWhole>(keys + offset, d, a.head_dim);
        value[n][c] = chunk_of<Ring, kWhole>(values + offset, d, a.head_dim);
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
    float higher = top;
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      scores[n] = counts[n] ? scores[n] * key_scale[n] : kNone;
      higher = scores[n] > higher ? scores[n] : higher;
    }
    const float fade = exponential(top - higher);
    top = higher;
    total *= fade;
    GPU_UNROLL
    for (int i = 0; i < kColumns; ++i) sum[i] *= fade;
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      const float weight = counts[n] ? exponential(scores[n] - top) : 0;
      total += weight;
      GPU_UNROLL
      for (int i = 0; i < kColumns; ++i)
        sum[i] = multiply_add(weight * value_scale[n], Ring::value(value[n], i), sum[i]);
    }
  }

  // The warp's groups: every lane gets the same bits as its twins, since each step adds the same pair.
  float higher = top;
  for (int bit = lanes; bit < kWarp; bit *= 2) {
    const float other = shuffle_xor(kAll, higher, bit);
    higher = other > higher ? other : higher;
  }
  const float fade = exponential(top - higher);
  top = higher;
  total *= fade;
  GPU_UNROLL
  for (int i = 0; i < kColumns; ++i) sum[i] *= fade;
  for (int bit = lanes; bit < kWarp; bit *= 2) {
    total += shuffle_xor(kAll, total, bit);
    GPU_UNROLL
    for (int i = 0; i < kColumns; ++i) sum[i] += shuffle_xor(kAll, sum[i], bit);
  }

  // [warps, head_dim] sums, then [warps] maxima, then [warps] totals.
  float* sums = dynamic_shared<float>();
  float* tops = sums + warps() * a.head_dim;
  float* totals = tops + warps();
  GPU_UNROLL
  for (int i = 0; i < kColumns; ++i) {
    const int d = column(i / kElements) + i % kElements;
    if (group == 0 && d < a.head_dim) sums[warp() * a.head_dim + d] = sum[i];
  }
  if (lane() == 0) {
    tops[warp()] = top;
    totals[warp()] = total;
  }
  barrier();
  for (int w = 0; w < warps(); ++w) top = tops[w] > top ? tops[w] : top;
  float* part = a.parts ? part_of(a, query_head, block_z()) : nullptr;
  for (int d = thread(); d < a.head_dim; d += threads()) {
    float mixed = 0, all = 0;
    for (int w = 0; w < warps(); ++w) {
      const float weight = exponential(tops[w] - top);
      mixed = multiply_add(sums[w * a.head_dim + d], weight, mixed);
      all = multiply_add(totals[w], weight, all);
    }
    if (!part) {
      leave(a, query_head, d, mixed / all);
      continue;
    }
    part[d] = mixed;
    if (d > 0) continue;
    part[a.head_dim] = top;
    part[a.head_dim + 1] = all;
  }
}

template <typename Ring>
GPU_DEVICE void attend(const Attend& a) {
  if (a.head_dim * sizeof(typename Ring::Element) % 16 == 0)
    attend_page<Ring, true>(a);
  else
    attend_page<Ring, false>(a);
}

}  // namespace

GPU_KERNEL(kThreads, 2) attend_f32(Attend a) {
  attend<RingF32>(a);
}
GPU_KERNEL(kThreads, 2) attend_f16(Attend a) {
  attend<RingF16>(a);
}
GPU_KERNEL(kThreads, 2) attend_q8(Attend a) {
  attend<RingQ8>(a);
}

// out from parts, page by page. Grid (heads, rows), any number of whole warps a block: each thread takes every so
// many-th column.
GPU_KERNEL(kThreads) attend_join(Attend a) {
  const RowData row = a.rows[block_y()];
  const View view(a, row);
  const int pages = (a.capacity + a.page - 1) / a.page, known = view.first / a.page;
  for (int d = thread(); d < a.head_dim; d += threads()) {
    float top = kNone, total = 0, value = 0;
    for (int page = 0; page < pages; page += kJoined) {
      bool counts[kJoined];
      float tops[kJoined], totals[kJoined], sums[kJoined];
      float higher = top;
      GPU_UNROLL
      for (int n = 0; n < kJoined; ++n) {
        counts[n] = page + n < pages && !Stretch(a, view, page + n).empty();
        // Of a page that is not seen there is no part: one that is seen stands in for it, and counts for nothing.
        const float* part = part_of(a, block_x(), counts[n] ? page + n : known);
        sums[n] = part[d];
        totals[n] = part[a.head_dim + 1];
        tops[n] = counts[n] ? part[a.head_dim] : kNone;
        higher = tops[n] > higher ? tops[n] : higher;
      }
      const float fade = exponential(top - higher);
      top = higher;
      total *= fade;
      value *= fade;
      GPU_UNROLL
      for (int n = 0; n < kJoined; ++n) {
        const float weight = counts[n] ? exponential(tops[n] - top) : 0;
        total = multiply_add(totals[n], weight, total);
        value = multiply_add(sums[n], weight, value);
      }
    }
    leave(a, block_x(), d, value / total);
  }
}

}  // namespace moshi
