// Every word of gpu.h in use: run on fibers by check_gpu_shim.cc, and compiled for every GPU by scripts/kernels.mjs,
// since what no kernel uses is never seen by a compiler.
#include "cuda/gpu.h"

namespace moshi {

using namespace gpu;

// One warp; out [289].
GPU_KERNEL(32) words_of_warps(int* out) {
  const int l = lane();
  out[l] = shuffle_down(kAll, l, 5);
  out[32 + l] = shuffle_xor(kAll, l, 3);
  out[64 + l] = shuffle_index(kAll, l, (l * 7 + 1) % 32);
  out[96 + l] = warp_sum(l);
  out[128 + l] = warp_max(l * 5 % 32);
  const uint32_t half = l < 16 ? 0xffffu : 0xffff0000u;
  out[160 + l] = shuffle_xor(half, l, 1);
  GPU_SHARED(float, most, 1);
  if (l == 0) most[0] = -2;
  warp_barrier(kAll);
  const float before = atomic_max(most, -1.0f - static_cast<float>(l));
  warp_barrier(kAll);
  if (l == 0) out[192] = static_cast<int>(most[0]) * 10 + (before < 0);
  out[193 + l] = dot4(0x01ff7f80, 0x02037f80, l);
  out[225 + l] = over_lanes<Max>(l * 5 % 32, 2);
  const uint64_t wide = over_lanes<Sum>(uint64_t{1} << (l + 20), 16);
  out[257 + l] = static_cast<int>(wide >> 20);
}

// Cooperative; in, out [blocks]; meeting and sum are zeros.
GPU_KERNEL(1024) words_of_grids(GridMeeting* meeting, const int* in, int* out, int* sum) {
  if (thread() == 0) {
    atomic_add(sum, in[block_x()]);
    atomic_max(sum, 1);
  }
  grid_barrier(meeting);
  if (thread() == 0) store_release(&out[block_x()], *sum);
  grid_barrier(meeting);
  if (thread() == 0 && load_acquire(&out[(block_x() + 1) % blocks_x()]) != *sum) out[block_x()] = -1;
}

// One warp; in [384], out [256]: the first and the last of three tiles of 128, and how much of it is waited for.
GPU_KERNEL(32) words_of_copies(const float* in, float* out, int waits) {
  GPU_SHARED(Float4, tiles, 3 * 32);
  for (int i = 0; i < 3; ++i) {
    async_copy<16>(&tiles[i * 32 + thread()], in + 4 * (i * 32 + thread()));
    async_commit();
  }
  if (waits > 0) async_wait<2>();
  GPU_UNROLL
  for (int i = 0; i < 4; ++i) out[4 * thread() + i] = tiles[thread()].v[i];
  for (int i = 0; i < 4; ++i) out[128 + 4 * thread() + i] = tiles[64 + thread()].v[i];
  if (waits > 1) async_wait<0>();
}

// One warp; a [4, 32] and b [2, 32] registers of each lane; wide, floats [32, 4], narrow [32, 2]: 1 + a b.
GPU_KERNEL(32)
words_of_matrices([[maybe_unused]] const uint32_t* a, [[maybe_unused]] const uint32_t* b, [[maybe_unused]] int* wide,
                  [[maybe_unused]] int* narrow, [[maybe_unused]] float* floats) {
#if GPU_ARCH >= 750
  const int l = lane();
  int d2[2] = {1, 1};
  mma_s8_8x8x16(d2, a[l], b[l]);
  for (int i = 0; i < 2; ++i) narrow[2 * l + i] = d2[i];
#endif
#if GPU_ARCH >= 800
  const uint32_t as[4] = {a[l], a[32 + l], a[64 + l], a[96 + l]}, bs[2] = {b[l], b[32 + l]};
  int d4[4] = {1, 1, 1, 1};
  float f4[4] = {1, 1, 1, 1};
  mma_s8_16x8x32(d4, as, bs);
  mma_bf16_16x8x16(f4, as, bs);
  for (int i = 0; i < 4; ++i) wide[4 * l + i] = d4[i], floats[4 * l + i] = f4[i];
#endif
}

// One warp; in [32] positive, out [6, 32], bits [2, 32].
GPU_KERNEL(32) words_of_numbers(const float* in, float* out, uint16_t* bits) {
  const int l = lane();
  const float x = load_stream(in + l);
  float* copy = dynamic_shared<float>();
  async_copy<4>(copy + l, in + l);
  async_commit();
  async_wait<0>();
  out[l] = exponential(copy[l]);
  out[32 + l] = logarithm(x);
  out[64 + l] = inverse_root(x);
  out[96 + l] = tangent_hyperbolic(x);
  bits[l] = float_to_half(x);
  bits[32 + l] = float_to_bf16(x);
  out[128 + l] = half_to_float(bits[l]);
  out[160 + l] = bf16_to_float(bits[32 + l]);
  atomic_add(out + l, 0.0f);
}

}  // namespace moshi
