// The words kernels are written in, and the only header they include. clang and nvcc compile them for NVIDIA's GPUs
// through device.h; a plain C++ compiler makes them run on fibers through host/device.h, with no GPU at all.
//
// A block is a row of threads, 32 of them a warp; a grid is a box of blocks. Masks name lanes of the calling warp, and
// every lane they name must make the same call.
#pragma once

#include <cstdint>

#if defined(__CUDA__) || defined(__CUDACC__)
#include "cuda/device.h"
#else
#include "cuda/host/device.h"
#endif

// What both give:
//   GPU_KERNEL(threads) name(…)        an entry point for blocks of at most so many threads; a second number: so many
//                                      blocks have to fit onto a multiprocessor, which bounds a thread's registers
//   GPU_DEVICE                         a function kernels call
//   GPU_SHARED(type, name, count)      an array of the block, not initialised
//   GPU_UNROLL                         before a loop over an array that has to stay in registers
//   dynamic_shared<T>()                the bytes the launch asked for, 16-byte aligned
//   thread() threads() block_x() … blocks_z()
//   barrier(), warp_barrier(mask), fence()
//   shuffle_bits_down/xor/index(mask, bits, lane or distance)
//   over_lanes<Join>(value, bit)       of 4 or 8 bytes: with that of the lane whose number differs by this bit, then by
//                                      the bits below it
//   atomic_add(int* | float*), atomic_max(int*), load_acquire(int*), store_release(int*)
//   prefetch(p)                        into the second cache, what lies there
//   load_stream(T*)                    4, 8 or 16 aligned bytes that are read once: past the first cache where possible
//   async_copy<bytes>(shared, global), async_commit(), async_wait<groups left in flight>()
//   half_to_float, float_to_half, bf16_to_float, float_to_bf16, exp2_fast, log2_fast, rsqrt_fast, multiply_add
//   dot4(a, b, c)                      c + the products of four signed bytes each
//   mma_s8_8x8x16 (GPU_ARCH ≥ 750), mma_s8_16x8x32, mma_bf16_16x8x16 (≥ 800): d += a b, one warp, PTX's fragments

namespace moshi::gpu {

constexpr int kWarp = 32;
constexpr uint32_t kAll = 0xffffffffu;

struct alignas(16) Float4 {
  float v[4];
};
struct alignas(16) Int4 {
  int32_t v[4];
};

GPU_DEVICE int lane() {
  return thread() % kWarp;
}
GPU_DEVICE int warp() {
  return thread() / kWarp;
}
GPU_DEVICE int warps() {
  return threads() / kWarp;
}

// The value of the lane so far above, of the lane whose number differs by these bits, and of the lane named. Above the
// last lane there is one's own value.
template <typename T>
GPU_DEVICE T shuffle_down(uint32_t mask, T value, int distance GPU_HERE) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(T, shuffle_bits_down(mask, __builtin_bit_cast(uint32_t, value), distance GPU_THERE));
}
template <typename T>
GPU_DEVICE T shuffle_xor(uint32_t mask, T value, int bits GPU_HERE) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(T, shuffle_bits_xor(mask, __builtin_bit_cast(uint32_t, value), bits GPU_THERE));
}
template <typename T>
GPU_DEVICE T shuffle_index(uint32_t mask, T value, int from GPU_HERE) {
  static_assert(sizeof(T) == 4);
  return __builtin_bit_cast(T, shuffle_bits_index(mask, __builtin_bit_cast(uint32_t, value), from GPU_THERE));
}

// How two values become one.
struct Sum {
  template <typename T>
  GPU_DEVICE static T join(T a, T b) {
    return a + b;
  }
};
struct Max {
  template <typename T>
  GPU_DEVICE static T join(T a, T b) {
    return b > a ? b : a;
  }
};

// Over a whole warp; every lane gets the same bits, since each step joins the same pair.
template <typename T>
GPU_DEVICE T warp_sum(T value GPU_HERE) {
  return over_lanes<Sum>(value, kWarp / 2 GPU_THERE);
}
template <typename T>
GPU_DEVICE T warp_max(T value GPU_HERE) {
  return over_lanes<Max>(value, kWarp / 2 GPU_THERE);
}

// Over a block of whole warps. scratch [32] is the block's; it may be used again after the next barrier.
template <typename T>
GPU_DEVICE T block_sum(T value, T* scratch) {
  value = warp_sum(value);
  if (lane() == 0) scratch[warp()] = value;
  barrier();
  T total = 0;
  for (int w = 0; w < warps(); ++w) total += scratch[w];
  return total;
}

// Where the blocks of cooperative launches meet: of the device, zeros before the first, left as the next one needs it.
struct GridMeeting {
  int arrived;
  // On a line of its own: who waits looks at it all the time.
  alignas(128) int round;
};

// Every block of a cooperative launch waits for all others.
GPU_DEVICE void grid_barrier(GridMeeting* meeting) {
  const int all = blocks_x() * blocks_y() * blocks_z();
  barrier();
  if (thread() == 0) {
    const int round = load_acquire(&meeting->round);
    fence();
    if (atomic_add(&meeting->arrived, 1) == all - 1) {
      meeting->arrived = 0;
      store_release(&meeting->round, static_cast<int>(static_cast<uint32_t>(round) + 1u));
    } else {
      while (load_acquire(&meeting->round) == round) {
      }
    }
    fence();
  }
  barrier();
}

// Whether the calling block is the last of so many to come here; it then sees what all of them wrote before. arrived:
// an int of the device, zero before and after.
GPU_DEVICE bool last_to_come(int* arrived, int blocks) {
  GPU_SHARED(int, before, 1);
  barrier();
  if (thread() == 0) {
    fence();
    before[0] = atomic_add(arrived, 1);
    if (before[0] + 1 == blocks) *arrived = 0;
    fence();
  }
  barrier();
  return before[0] + 1 == blocks;
}

// e^x to 3e-7 for finite x. What rounding takes from x log2(e) is put back as a factor: at -80 it would cost 5e-6.
GPU_DEVICE float exponential(float x) {
  const float whole = x * 1.44269504f;
  const float rest = multiply_add(x, 1.92596303e-8f, multiply_add(x, 1.44269504f, -whole));
  const float power = exp2_fast(whole);
  return multiply_add(power, rest * 0.69314718f, power);
}
// One step of Newton's makes the guess exact to the last bit but one.
GPU_DEVICE float inverse_root(float x) {
  const float guess = rsqrt_fast(x);
  return guess * multiply_add(-0.5f * x * guess, guess, 1.5f);
}
GPU_DEVICE float logarithm(float x) {
  return log2_fast(x) * 0.69314718f;
}
GPU_DEVICE float sigmoid(float x) {
  // Beyond 88 the exponential is infinite and its own correction would make it NaN.
  return 1.0f / (1.0f + exponential(x < -88.0f ? 88.0f : -x));
}
GPU_DEVICE float tangent_hyperbolic(float x) {
  return 2.0f * sigmoid(2.0f * x) - 1.0f;
}

}  // namespace moshi::gpu
