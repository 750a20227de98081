// Keys and values of rows into their rings, after queries and keys are rotated by position: q of qkv [rows, stride] in
// place, k on its way. Grid (any, rows), any number of whole warps a block; head_dim is even. A warp takes a head, a
// lane every 32nd pair of it.
#include "cuda/kernels/append.h"

#include "cuda/kernels/ring.h"

namespace moshi {

namespace {

using namespace gpu;

struct Pair {
  float a, b;
};

// One head of one row, with where the members of a pair lie.
struct Head {
  float* values;
  const float* rotation;  // null: left as it is
  int half;
  bool interleaved;

  GPU_DEVICE int a(int i) const { return interleaved ? 2 * i : i; }
  GPU_DEVICE int b(int i) const { return interleaved ? 2 * i + 1 : i + half; }
  GPU_DEVICE Pair pair(int i) const {
    const float re = values[a(i)], im = values[b(i)];
    if (!rotation) return {re, im};
    const float cosine = rotation[2 * i], sine = rotation[2 * i + 1];
    return {multiply_add(re, cosine, -(im * sine)), multiply_add(re, sine, im * cosine)};
  }
};

// What becomes of a head in a ring: `data` [head_dim], and a scale where the ring has them.
struct RingF32 {
  static constexpr int kBytes = 4;
  GPU_DEVICE static void store(const Head& head, char* data, float*) {
    auto* out = reinterpret_cast<float*>(data);
    for (int i = lane(); i < head.half; i += kWarp) {
      const Pair pair = head.pair(i);
      out[head.a(i)] = pair.a;
      out[head.b(i)] = pair.b;
    }
  }
};

struct RingF16 {
  static constexpr int kBytes = 2;
  // The largest there is, where a half would be infinite: that would spoil a whole head.
  GPU_DEVICE static uint16_t half(float value) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    if ((bits & 0x7fffffffu) >= 0x477ff000u) return static_cast<uint16_t>((bits >> 16 & 0x8000u) | 0x7bffu);
    return float_to_half(value);
  }
  GPU_DEVICE static void store(const Head& head, char* data, float*) {
    auto* out = reinterpret_cast<uint16_t*>(data);
    for (int i = lane(); i < head.half; i += kWarp) {
      const Pair pair = head.pair(i);
      out[head.a(i)] = half(pair.a);
      out[head.b(i)] = half(pair.b);
    }
  }
};

struct RingQ8 {
  static constexpr int kBytes = 1;
  GPU_DEVICE static float larger(float most, float value) {
    const float magnitude = value < 0 ? -value : value;
    return magnitude > most ? magnitude : most;
  }
  // The product is rounded before it becomes a whole number, as on the CPU: adding zero keeps the two apart.
  GPU_DEVICE static int8_t code(float value, float inverse) {
    const float large = multiply_add(value, inverse, 0.0f) + 12582912.0f;
    return static_cast<int8_t>(__builtin_bit_cast(uint32_t, large) & 255u);
  }
  GPU_DEVICE static void store(const Head& head, char* data, float* scale) {
    float most = 0;
    for (int i = lane(); i < head.half; i += kWarp) {
      const Pair pair = head.pair(i);
      most = larger(larger(most, pair.a), pair.b);
    }
    most = warp_max(most);
    // Below, the quotient would be infinite.
    const float inverse = most > 3.8e-37f ? 127.0f / most : 0;
    auto* out = reinterpret_cast<int8_t*>(data);
    for (int i = lane(); i < head.half; i += kWarp) {
      const Pair pair = head.pair(i);
      out[head.a(i)] = code(pair.a, inverse);
      out[head.b(i)] = code(pair.b, inverse);
    }
    if (lane() == 0) *scale = most / 127.0f;
  }
};

template <typename Ring>
GPU_DEVICE void append(const Append& a) {
  const RowData& row = a.rows[block_y()];
  float* qkv = a.qkv + block_y() * a.stride;
  const int half = a.head_dim / 2, all = a.heads + 2 * a.kv_heads;
  const float* rotation = a.rotations ? a.rotations + static_cast<int64_t>(block_y()) * a.head_dim : nullptr;
  for (int h = block_x() * warps() + warp(); h < all; h += blocks_x() * warps()) {
    const int side = h < a.heads + a.kv_heads ? 0 : 1, kv_head = h - a.heads - side * a.kv_heads;
    const Head head{qkv + static_cast<int64_t>(h) * a.head_dim, side == 0 ? rotation : nullptr, half, a.interleaved};
    if (kv_head < 0) {
      if (!rotation) continue;
      for (int i = lane(); i < half; i += kWarp) {
        const Pair pair = head.pair(i);
        head.values[head.a(i)] = pair.a;
        head.values[head.b(i)] = pair.b;
      }
      continue;
    }
    // Kernels that read rings share where things lie; this one is who writes them.
    auto* data = const_cast<char*>(ring_data<Ring::kBytes>(a, row, kv_head, row.last, side));
    auto* scale = const_cast<float*>(ring_scale<Ring::kBytes>(a, row, kv_head, row.last, side));
    Ring::store(head, data, scale);
  }
}

}  // namespace

GPU_KERNEL(1024) append_f32(Append a) {
  append<RingF32>(a);
}
GPU_KERNEL(1024) append_f16(Append a) {
  append<RingF16>(a);
}
GPU_KERNEL(1024) append_q8(Append a) {
  append<RingQ8>(a);
}

}  // namespace moshi
