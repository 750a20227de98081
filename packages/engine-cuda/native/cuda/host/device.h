// gpu.h on the host: every thread of a block is a fiber, see launch.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "core/dtype.h"

// Collective calls carry their line, to tell the callers apart and for messages.
#define GPU_HERE , const std::source_location& here = std::source_location::current()
#define GPU_THERE , here

#define GPU_UNROLL
#define GPU_DEVICE inline
#define GPU_KERNEL(...) void
#define GPU_SHARED(type, name, count) \
  static const char name##_site = 0;  \
  type(&name)[count] =                \
      *static_cast<type(*)[count]>(::moshi::gpu::host::shared_array(&name##_site, #name, sizeof(type[count])))
// Everything an sm_80 has.
#define GPU_ARCH 800

namespace moshi::gpu::host {

using Place = std::source_location;

struct Here {
  int thread, threads, block[3], blocks[3];
};
// Of the fiber that runs.
extern constinit thread_local Here here;

struct Lane {
  const void* in;
  void* out;
  int argument;
};
// What a warp does together once all lanes of the mask are there; lanes has 32 entries.
using Operation = void (*)(uint32_t mask, const Lane* lanes);

[[noreturn]] void fault(const char* what);
void barrier(const Place& place);
void together(uint32_t mask, Operation operation, const Lane& lane, const Place& place);
void* shared_array(const char* site, const char* name, size_t bytes);
void* dynamic_shared();
// One more step of the kernel that others may be waiting for.
void progress();
// Lets the others run; faults when nothing has happened for long.
void spin(const Place& place);
void async_copy(void* to, const void* from, int bytes);
void async_commit();
void async_wait(int left);

void shuffle_down(uint32_t mask, const Lane* lanes);
void shuffle_xor(uint32_t mask, const Lane* lanes);
void shuffle_index(uint32_t mask, const Lane* lanes);
void meet(uint32_t mask, const Lane* lanes);
void mma_s8_8x8x16(uint32_t mask, const Lane* lanes);
void mma_s8_16x8x32(uint32_t mask, const Lane* lanes);
void mma_bf16_16x8x16(uint32_t mask, const Lane* lanes);

// A mma's operands in one lane.
template <typename D, int kD, int kA, int kB>
struct Fragments {
  D d[kD];
  uint32_t a[kA], b[kB];
};

// All steps of a warp in one meeting: a tenth of the time that one each would take.
template <typename Join, typename T>
void over_lanes(uint32_t, const Lane* lanes) {
  T values[32], joined[32];
  for (int l = 0; l < 32; ++l) {
    if (lanes[l].argument != lanes[0].argument) fault("the lanes of a warp do not agree on what they are joined over");
    values[l] = *static_cast<const T*>(lanes[l].in);
  }
  for (int bit = lanes[0].argument; bit > 0; bit /= 2) {
    for (int l = 0; l < 32; ++l) joined[l] = Join::join(values[l], values[l ^ bit]);
    std::memcpy(values, joined, sizeof values);
  }
  for (int l = 0; l < 32; ++l) *static_cast<T*>(lanes[l].out) = values[l];
}

inline void check_aligned(const void* p, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0) fault("a load or copy is not aligned to its own size");
}

inline uint32_t shuffle(uint32_t mask, Operation operation, uint32_t bits, int argument, const Place& place) {
  uint32_t out;
  together(mask, operation, {&bits, &out, argument}, place);
  return out;
}

template <typename D, int kD, int kA, int kB>
inline void multiply(Operation operation, D (&d)[kD], const uint32_t* a, const uint32_t* b, const Place& place) {
  Fragments<D, kD, kA, kB> fragments;
  std::memcpy(fragments.d, d, sizeof d);
  std::memcpy(fragments.a, a, sizeof fragments.a);
  std::memcpy(fragments.b, b, sizeof fragments.b);
  together(0xffffffffu, operation, {&fragments, d, 0}, place);
}

}  // namespace moshi::gpu::host

namespace moshi::gpu {

inline int thread() {
  return host::here.thread;
}
inline int threads() {
  return host::here.threads;
}
inline int block_x() {
  return host::here.block[0];
}
inline int block_y() {
  return host::here.block[1];
}
inline int block_z() {
  return host::here.block[2];
}
inline int blocks_x() {
  return host::here.blocks[0];
}
inline int blocks_y() {
  return host::here.blocks[1];
}
inline int blocks_z() {
  return host::here.blocks[2];
}

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(host::dynamic_shared());
}

inline void barrier(const host::Place& place = host::Place::current()) {
  host::barrier(place);
}
inline void warp_barrier(uint32_t mask GPU_HERE) {
  host::together(mask, host::meet, {nullptr, nullptr, 0} GPU_THERE);
}
inline void fence() {}

inline uint32_t shuffle_bits_down(uint32_t mask, uint32_t bits, int distance GPU_HERE) {
  return host::shuffle(mask, host::shuffle_down, bits, distance GPU_THERE);
}
inline uint32_t shuffle_bits_xor(uint32_t mask, uint32_t bits, int flip GPU_HERE) {
  return host::shuffle(mask, host::shuffle_xor, bits, flip GPU_THERE);
}
inline uint32_t shuffle_bits_index(uint32_t mask, uint32_t bits, int from GPU_HERE) {
  return host::shuffle(mask, host::shuffle_index, bits, from GPU_THERE);
}

template <typename Join, typename T>
T over_lanes(T value, int bit GPU_HERE) {
  T out;
  host::together(0xffffffffu, host::over_lanes<Join, T>, {&value, &out, bit} GPU_THERE);
  return out;
}

template <typename T>
T exchange(T* p, T value) {
  const T old = *p;
  *p = value;
  if (std::memcmp(&old, &value, sizeof old) != 0) host::progress();
  return old;
}
template <typename T>
T atomic_add(T* p, T value) {
  return exchange(p, *p + value);
}
template <typename T>
T atomic_max(T* p, T value) {
  return exchange(p, value > *p ? value : *p);
}
// Whoever reads what others write waits for it: they get their turn.
inline int load_acquire(const int* p GPU_HERE) {
  host::spin(here);
  return *p;
}
inline void store_release(int* p, int value) {
  exchange(p, value);
}

inline void prefetch(const void*) {}

template <typename T>
T load_stream(const T* p) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
  host::check_aligned(p, sizeof(T));
  return *p;
}

template <int kBytes>
void async_copy(void* to, const void* from) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  host::check_aligned(to, kBytes);
  host::check_aligned(from, kBytes);
  host::async_copy(to, from, kBytes);
}
inline void async_commit() {
  host::async_commit();
}
template <int kLeft>
void async_wait() {
  host::async_wait(kLeft);
}

using moshi::bf16_to_float;
using moshi::float_to_bf16;
inline float half_to_float(uint16_t bits) {
  return f16_to_float(bits);
}
inline uint16_t float_to_half(float value) {
  return float_to_f16(value);
}

inline float exp2_fast(float x) {
  return std::exp2(x);
}
inline float log2_fast(float x) {
  return std::log2(x);
}
inline float rsqrt_fast(float x) {
  return 1.0f / std::sqrt(x);
}
inline float multiply_add(float a, float b, float c) {
  return std::fma(a, b, c);
}

inline int dot4(int a, int b, int c) {
  for (int i = 0; i < 32; i += 8) c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  return c;
}

inline void mma_s8_8x8x16(int (&d)[2], uint32_t a, uint32_t b GPU_HERE) {
  host::multiply<int, 2, 1, 1>(host::mma_s8_8x8x16, d, &a, &b GPU_THERE);
}
inline void mma_s8_16x8x32(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] GPU_HERE) {
  host::multiply<int, 4, 4, 2>(host::mma_s8_16x8x32, d, a, b GPU_THERE);
}
inline void mma_bf16_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] GPU_HERE) {
  host::multiply<float, 4, 4, 2>(host::mma_bf16_16x8x16, d, a, b GPU_THERE);
}

}  // namespace moshi::gpu
