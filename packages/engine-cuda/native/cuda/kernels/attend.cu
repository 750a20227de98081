// Attention of one query per row and head over a paged ring: out = softmax(q kᵀ / √head_dim) v.
// Grid (heads, rows), any number of whole warps a block; head_dim is at most 256. A warp takes four
// positions that follow one another, then those after the other warps' four; a lane holds columns 4 l … 4 l + 3, and
// those 128 further, of query, key, value and sum. Each warp keeps a running maximum, total and weighted sum of values;
// at the end they meet in shared memory.
#include "cuda/kernels/attend.h"

#include "cuda/kernels/ring.h"

namespace moshi {

namespace {

using namespace gpu;

constexpr int kAtOnce = 4;  // positions whose loads are in flight together
constexpr int kParts = 2;   // times 128 columns
// Below every score, yet finite: its exponential is 0, its difference to itself is not a NaN.
constexpr float kNone = -1e30f;

struct Half4 {
  uint16_t v[4];
};
struct Code4 {
  int8_t v[4];
};

// How a ring's elements become floats; four at once.
struct RingF32 {
  static constexpr int kBytes = 4;
  static constexpr bool kScaled = false;
  GPU_DEVICE static Float4 load(const char* p) { return load_stream(reinterpret_cast<const Float4*>(p)); }
  GPU_DEVICE static float one(const char* p) { return *reinterpret_cast<const float*>(p); }
};
struct RingF16 {
  static constexpr int kBytes = 2;
  static constexpr bool kScaled = false;
  GPU_DEVICE static Float4 load(const char* p) {
    const Half4 h = load_stream(reinterpret_cast<const Half4*>(p));
    return {{half_to_float(h.v[0]), half_to_float(h.v[1]), half_to_float(h.v[2]), half_to_float(h.v[3])}};
  }
  GPU_DEVICE static float one(const char* p) { return half_to_float(*reinterpret_cast<const uint16_t*>(p)); }
};
struct RingQ8 {
  static constexpr int kBytes = 1;
  static constexpr bool kScaled = true;
  GPU_DEVICE static Float4 load(const char* p) {
    const Code4 c = load_stream(reinterpret_cast<const Code4*>(p));
    return {{static_cast<float>(c.v[0]), static_cast<float>(c.v[1]), static_cast<float>(c.v[2]),
             static_cast<float>(c.v[3])}};
  }
  GPU_DEVICE static float one(const char* p) { return static_cast<float>(*reinterpret_cast<const int8_t*>(p)); }
};

// Columns 4 quad … 4 quad + 3 of a head. Heads whose size is no multiple of 4 do not lie where four can be loaded.
template <typename Ring>
GPU_DEVICE Float4 columns(const char* row, int quad, int head_dim) {
  if (head_dim % 4 == 0) return Ring::load(row + 4 * quad * Ring::kBytes);
  Float4 out = {};
  for (int i = 0; i < 4; ++i)
    if (4 * quad + i < head_dim) out.v[i] = Ring::one(row + (4 * quad + i) * Ring::kBytes);
  return out;
}

// One head's part of a ring.
template <typename Ring>
struct Head {
  const Attend& a;
  const RowData& row;
  int head;

  GPU_DEVICE const char* data(int position, int side) const {
    return ring_data<Ring::kBytes>(a, row, head, position, side);
  }
  GPU_DEVICE float scale(int position, int side) const {
    return *ring_scale<Ring::kBytes>(a, row, head, position, side);
  }
};

template <typename Ring>
GPU_DEVICE void attend(const Attend& a) {
  const int query_head = block_x(), quads = (a.head_dim + 3) / 4;
  const Head<Ring> head{a, a.rows[block_y()], query_head / (a.heads / a.kv_heads)};
  const int last = head.row.last;

  Float4 query[kParts] = {}, sum[kParts] = {};
  const float* q = a.q + block_y() * a.q_stride + static_cast<int64_t>(query_head) * a.head_dim;
  for (int part = 0; part < kParts; ++part) {
    const int column = 4 * (lane() + kWarp * part);
    for (int i = 0; i < 4; ++i) query[part].v[i] = column + i < a.head_dim ? q[column + i] : 0;
  }
  const float share = inverse_root(static_cast<float>(a.head_dim));

  float top = kNone, total = 0;
  for (int p = head.row.first + kAtOnce * warp(); p <= last; p += kAtOnce * warps()) {
    float scores[kAtOnce];
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      float dot = 0;
      for (int part = 0; part < kParts; ++part) {
        const int quad = lane() + kWarp * part;
        if (quad >= quads || p + n > last) continue;
        const Float4 key = columns<Ring>(head.data(p + n, 0), quad, a.head_dim);
        for (int i = 0; i < 4; ++i) dot = multiply_add(query[part].v[i], key.v[i], dot);
      }
      scores[n] = dot;
    }
    float higher = top;
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      scores[n] = warp_sum(scores[n]) * share;
      if constexpr (Ring::kScaled) scores[n] *= p + n > last ? 0 : head.scale(p + n, 0);
      if (p + n > last) scores[n] = kNone;
      higher = scores[n] > higher ? scores[n] : higher;
    }
    const float fade = exponential(top - higher);
    top = higher;
    total *= fade;
    for (int part = 0; part < kParts; ++part)
      for (int i = 0; i < 4; ++i) sum[part].v[i] *= fade;
    GPU_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      if (p + n > last) continue;
      const float weight = exponential(scores[n] - top);
      total += weight;
      const float scaled = Ring::kScaled ? weight * head.scale(p + n, 1) : weight;
      for (int part = 0; part < kParts; ++part) {
        const int quad = lane() + kWarp * part;
        if (quad >= quads) continue;
        const Float4 value = columns<Ring>(head.data(p + n, 1), quad, a.head_dim);
        for (int i = 0; i < 4; ++i) sum[part].v[i] = multiply_add(scaled, value.v[i], sum[part].v[i]);
      }
    }
  }

  // [warps, head_dim] sums, then [warps] maxima, then [warps] totals.
  float* sums = dynamic_shared<float>();
  float* tops = sums + warps() * a.head_dim;
  float* totals = tops + warps();
  for (int part = 0; part < kParts; ++part) {
    const int column = 4 * (lane() + kWarp * part);
    for (int i = 0; i < 4; ++i)
      if (column + i < a.head_dim) sums[warp() * a.head_dim + column + i] = sum[part].v[i];
  }
  if (lane() == 0) {
    tops[warp()] = top;
    totals[warp()] = total;
  }
  barrier();
  for (int w = 0; w < warps(); ++w) top = tops[w] > top ? tops[w] : top;
  total = 0;
  for (int w = 0; w < warps(); ++w) total = multiply_add(totals[w], exponential(tops[w] - top), total);
  float* out = a.out + block_y() * a.out_stride + static_cast<int64_t>(query_head) * a.head_dim;
  for (int d = thread(); d < a.head_dim; d += threads()) {
    float value = 0;
    for (int w = 0; w < warps(); ++w) value = multiply_add(sums[w * a.head_dim + d], exponential(tops[w] - top), value);
    out[d] = value / total;
  }
}

}  // namespace

GPU_KERNEL(1024) attend_f32(Attend a) {
  attend<RingF32>(a);
}
GPU_KERNEL(1024) attend_f16(Attend a) {
  attend<RingF16>(a);
}
GPU_KERNEL(1024) attend_q8(Attend a) {
  attend<RingQ8>(a);
}

}  // namespace moshi
