// gpu.h on a GPU: PTX for clang and nvcc alike, with neither CUDA's headers nor libdevice.
#pragma once

#include <cstdint>

// Call sites are the host's alone.
#define GPU_HERE
#define GPU_THERE

#define GPU_UNROLL _Pragma("unroll")

#if defined(__NVCC__)
#define GPU_DEVICE __device__ __forceinline__
#define GPU_KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)
#define GPU_SHARED(type, name, count) __shared__ type name[count]
#define GPU_SHARED_MEMORY __shared__
#else
#define GPU_DEVICE __attribute__((device, always_inline)) inline
#define GPU_KERNEL(...) extern "C" __attribute__((global, launch_bounds(__VA_ARGS__))) void
#define GPU_SHARED(type, name, count) static __attribute__((shared)) type name[count]
#define GPU_SHARED_MEMORY __attribute__((shared))
#endif

// nvcc also reads kernels for its own host side, where nothing of them is left.
#if defined(__CUDA_ARCH__)
#define GPU_ARCH __CUDA_ARCH__
#else
#define GPU_ARCH 900
#endif

namespace moshi::gpu {

#define GPU_REGISTER(word, name)                  \
  GPU_DEVICE int word() {                         \
    int value;                                    \
    asm("mov.u32 %0, %%" name ";" : "=r"(value)); \
    return value;                                 \
  }
GPU_REGISTER(thread, "tid.x")
GPU_REGISTER(threads, "ntid.x")
GPU_REGISTER(block_x, "ctaid.x")
GPU_REGISTER(block_y, "ctaid.y")
GPU_REGISTER(block_z, "ctaid.z")
GPU_REGISTER(blocks_x, "nctaid.x")
GPU_REGISTER(blocks_y, "nctaid.y")
GPU_REGISTER(blocks_z, "nctaid.z")
#undef GPU_REGISTER

struct alignas(16) Chunk {
  uint32_t words[4];
};
extern GPU_SHARED_MEMORY Chunk dynamic_shared_memory[];

template <typename T>
GPU_DEVICE T* dynamic_shared() {
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

GPU_DEVICE void barrier() {
  asm volatile("bar.sync 0;" ::: "memory");
}
GPU_DEVICE void warp_barrier(uint32_t mask) {
  asm volatile("bar.warp.sync %0;" ::"r"(mask) : "memory");
}
// What this thread wrote before is seen by the grid before what it writes after.
GPU_DEVICE void fence() {
  asm volatile("membar.gl;" ::: "memory");
}

GPU_DEVICE uint32_t shuffle_bits_down(uint32_t mask, uint32_t bits, int distance) {
  uint32_t out;
  asm volatile("shfl.sync.down.b32 %0, %1, %2, 31, %3;" : "=r"(out) : "r"(bits), "r"(distance), "r"(mask));
  return out;
}
GPU_DEVICE uint32_t shuffle_bits_xor(uint32_t mask, uint32_t bits, int flip) {
  uint32_t out;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, %3;" : "=r"(out) : "r"(bits), "r"(flip), "r"(mask));
  return out;
}
GPU_DEVICE uint32_t shuffle_bits_index(uint32_t mask, uint32_t bits, int from) {
  uint32_t out;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, %3;" : "=r"(out) : "r"(bits), "r"(from), "r"(mask));
  return out;
}

template <typename T>
GPU_DEVICE T flipped(T value, int bit) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  if constexpr (sizeof(T) == 4) {
    return __builtin_bit_cast(T, shuffle_bits_xor(0xffffffffu, __builtin_bit_cast(uint32_t, value), bit));
  } else {
    const auto bits = __builtin_bit_cast(uint64_t, value);
    const uint64_t low = shuffle_bits_xor(0xffffffffu, static_cast<uint32_t>(bits), bit);
    const uint64_t high = shuffle_bits_xor(0xffffffffu, static_cast<uint32_t>(bits >> 32), bit);
    return __builtin_bit_cast(T, high << 32 | low);
  }
}
template <typename Join, typename T>
GPU_DEVICE T over_lanes(T value, int bit) {
  for (; bit > 0; bit /= 2) value = Join::join(value, flipped(value, bit));
  return value;
}

GPU_DEVICE int atomic_add(int* p, int value) {
  int old;
  asm volatile("atom.add.s32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(value) : "memory");
  return old;
}
GPU_DEVICE float atomic_add(float* p, float value) {
  float old;
  asm volatile("atom.add.f32 %0, [%1], %2;" : "=f"(old) : "l"(p), "f"(value) : "memory");
  return old;
}
GPU_DEVICE int atomic_max(int* p, int value) {
  int old;
  asm volatile("atom.max.s32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(value) : "memory");
  return old;
}
GPU_DEVICE uint32_t atomic_min_bits(float* p, uint32_t bits) {
  uint32_t old;
  asm volatile("atom.min.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(bits) : "memory");
  return old;
}
// Floats of one sign are ordered as their bits are, negative ones the other way round.
GPU_DEVICE float atomic_max(float* p, float value) {
  const int bits = __builtin_bit_cast(int, value);
  if (bits >= 0) return __builtin_bit_cast(float, atomic_max(reinterpret_cast<int*>(p), bits));
  return __builtin_bit_cast(float, atomic_min_bits(p, static_cast<uint32_t>(bits)));
}

GPU_DEVICE int load_acquire(const int* p) {
  int value;
#if GPU_ARCH >= 700
  asm volatile("ld.acquire.gpu.s32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
#else
  asm volatile("ld.volatile.s32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  fence();
#endif
  return value;
}
GPU_DEVICE void store_release(int* p, int value) {
#if GPU_ARCH >= 700
  asm volatile("st.release.gpu.s32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
#else
  fence();
  asm volatile("st.volatile.s32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
#endif
}

GPU_DEVICE void prefetch(const void* p) {
  asm volatile("prefetch.L2 [%0];" ::"l"(p));
}

// sm_80's PTX 7.0, for old drivers, does not know the hint yet.
#if GPU_ARCH >= 890
#define GPU_LOAD_ONCE "ld.global.nc.L1::no_allocate"
#else
#define GPU_LOAD_ONCE "ld.global.nc"
#endif
template <typename T>
GPU_DEVICE T load_stream(const T* p) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
  struct Words {
    uint32_t v[sizeof(T) / 4];
  } w;
  if constexpr (sizeof(T) == 16)
    asm(GPU_LOAD_ONCE ".v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(w.v[0]), "=r"(w.v[1]), "=r"(w.v[2]), "=r"(w.v[3])
        : "l"(p));
  else if constexpr (sizeof(T) == 8)
    asm(GPU_LOAD_ONCE ".v2.u32 {%0, %1}, [%2];" : "=r"(w.v[0]), "=r"(w.v[1]) : "l"(p));
  else
    asm(GPU_LOAD_ONCE ".u32 %0, [%1];" : "=r"(w.v[0]) : "l"(p));
  return __builtin_bit_cast(T, w);
}
#undef GPU_LOAD_ONCE

template <int kBytes>
GPU_DEVICE void async_copy(void* to, const void* from) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#if GPU_ARCH >= 800
  asm volatile(
      "{ .reg .u64 shared; cvta.to.shared.u64 shared, %0; cp.async.ca.shared.global [shared], [%1], %2; }" ::"l"(to),
      "l"(from), "n"(kBytes)
      : "memory");
#else
  for (int i = 0; i < kBytes / 4; ++i) static_cast<uint32_t*>(to)[i] = static_cast<const uint32_t*>(from)[i];
#endif
}
GPU_DEVICE void async_commit() {
#if GPU_ARCH >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kLeft>
GPU_DEVICE void async_wait() {
#if GPU_ARCH >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

GPU_DEVICE float half_to_float(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
GPU_DEVICE uint16_t float_to_half(float value) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

GPU_DEVICE float bf16_to_float(uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}
// Rounds to nearest even; a NaN stays one.
GPU_DEVICE uint16_t float_to_bf16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#define GPU_UNARY(word, instruction)                    \
  GPU_DEVICE float word(float x) {                      \
    float value;                                        \
    asm(instruction " %0, %1;" : "=f"(value) : "f"(x)); \
    return value;                                       \
  }
GPU_UNARY(exp2_fast, "ex2.approx.ftz.f32")
GPU_UNARY(log2_fast, "lg2.approx.f32")
GPU_UNARY(rsqrt_fast, "rsqrt.approx.f32")
#undef GPU_UNARY

GPU_DEVICE float multiply_add(float a, float b, float c) {
  float value;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(value) : "f"(a), "f"(b), "f"(c));
  return value;
}

GPU_DEVICE int dot4(int a, int b, int c) {
#if GPU_ARCH >= 610
  int value;
  asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(value) : "r"(a), "r"(b), "r"(c));
  return value;
#else
  for (int i = 0; i < 32; i += 8) c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  return c;
#endif
}

#if GPU_ARCH >= 750
GPU_DEVICE void mma_s8_8x8x16(int (&d)[2], uint32_t a, uint32_t b) {
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(d[0]), "+r"(d[1])
               : "r"(a), "r"(b));
}
#endif
#if GPU_ARCH >= 800
GPU_DEVICE void mma_s8_16x8x32(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
GPU_DEVICE void mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

}  // namespace moshi::gpu
