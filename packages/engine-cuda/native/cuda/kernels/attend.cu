// Attention of one query per row and head over a paged ring: out = softmax(q kᵀ / √head_dim) v.
// Grid (heads, rows, pages of the ring), at most kAttendWarps whole warps a block; head_dim is at most 256. A block
// takes what a row sees of one page, and leaves where that is nothing: how a row is summed depends on its own window
// alone. Warps meet in shared memory. Where there are several pages, attend_join then joins what they gave.
#include "cuda/kernels/attend.h"

#include "cuda/kernels/attend_stretch.h"
#include "cuda/kernels/codes.h"

namespace moshi {

namespace {

using namespace gpu;

constexpr int kThreads = kWarp * kAttendWarps;
constexpr int kJoined = 8;  // pages whose loads are in flight together
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
  const RowData row = a.rows[block_y()];
  const View view(a, row);
  const Stretch seen(a, view, block_z());
  if (seen.empty()) return;
  const int query_head = block_x(), head = query_head / (a.heads / a.kv_heads);
  const float* q = a.q + block_y() * a.q_stride + static_cast<int64_t>(query_head) * a.head_dim;
  const auto own = attend_stretch<Ring, kWhole, true>(a, row, view, seen, q, head, warp(), warps());

  // [warps, head_dim] sums, then [warps] maxima, then [warps] totals.
  float* sums = dynamic_shared<float>();
  float* tops = sums + warps() * a.head_dim;
  float* totals = tops + warps();
  own.sums(a.head_dim, [&](int d, float sum) { sums[warp() * a.head_dim + d] = sum; });
  if (lane() == 0) {
    tops[warp()] = own.top;
    totals[warp()] = own.total;
  }
  barrier();
  float top = own.top;
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
