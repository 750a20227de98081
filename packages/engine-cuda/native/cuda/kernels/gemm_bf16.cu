// Linear layers over BF16 weights for many rows of x, on the matrix units of sm_80 and later: y [n, y_stride] (+)= x
// [n] times w [rows, cols] of cuda/packed.h. Grid (tiles of x, tiles of w), blocks and shared memory as gemm_plan() has
// them.
//
// A stage is 64 columns of a tile. Of w, [rows][128 bytes], as many as fit are on their way while one is multiplied. x
// comes by way of registers, one stage ahead, since each float becomes two BF16: what is left of it when its lower half
// is cut off, and what that took. Their products with a weight, added, are the float's to one part in 65536.
#include "cuda/gpu.h"
#include "cuda/kernels/forms.h"
#include "cuda/kernels/gemm_mma.h"

#if GPU_ARCH >= 800

namespace moshi {

namespace {

using namespace gpu;

constexpr int kChunks = 8, kQuads = 16;  // of a row and stage: of w, 16 bytes, and of x, 4 columns
constexpr int kTurns = 2;                // of x

// Those of w that are there at once.
template <GemmTile kTile>
struct Stages {
  static constexpr int kCount = gemm_bf16_stages(kTile), kBytes = kTile.rows * 128;
  static_assert(kCount * kBytes + kTurns * kTile.columns * 256 == gemm_bf16_bytes(kTile));
};

// Rows of x: high parts [columns][128 bytes], then low ones.
template <GemmTile kTile>
struct Halves {
  static constexpr int kThreads = kTile.threads, kColumns = kTile.columns;
  static constexpr int kLow = kColumns * 128, kBytes = 2 * kLow;
  static constexpr int kShare = kColumns * kQuads / kThreads;

  GPU_DEVICE void load(const Linear& a, int n, int first, int columns, int stage) {
    GPU_UNROLL
    for (int j = 0; j < kShare; ++j) {
      const int i = thread() + j * kThreads, row = first + i / kQuads;
      if (i / kQuads < columns)
        ahead[j] = F32::input(a, static_cast<uint32_t>(row < n ? row : n - 1),
                              static_cast<uint32_t>(stage * kQuads + i % kQuads));
    }
  }
  GPU_DEVICE void store(char* shared) const {
    GPU_UNROLL
    for (int j = 0; j < kShare; ++j) {
      const int i = thread() + j * kThreads, quad = i % kQuads;
      Pair high, low;
      GPU_UNROLL
      for (int k = 0; k < 2; ++k) {
        uint32_t upper[2], lower[2];
        GPU_UNROLL
        for (int side = 0; side < 2; ++side) {
          const float x = ahead[j].v[2 * k + side];
          upper[side] = __builtin_bit_cast(uint32_t, x) & 0xffff0000u;
          lower[side] = __builtin_bit_cast(uint32_t, x - __builtin_bit_cast(float, upper[side])) + 0x8000u;
        }
        high.v[k] = upper[0] >> 16 | upper[1];
        low.v[k] = lower[0] >> 16 | (lower[1] & 0xffff0000u);
      }
      char* at = shared + swizzled(i / kQuads, quad / 2) + quad % 2 * 8;
      *reinterpret_cast<Pair*>(at) = high;
      *reinterpret_cast<Pair*>(at + kLow) = low;
    }
  }

  F32::Input ahead[kShare] = {};
};

// Chunks that do not exist are copied as what is there: x has zeros for them, or nobody reads the row.
template <GemmTile kTile>
GPU_DEVICE void copy(const Linear& a, char* shared, int first, int stage) {
  constexpr int kThreads = kTile.threads;
  GPU_UNROLL
  for (int j = 0; j < kTile.rows * kChunks / kThreads; ++j) {
    const int i = thread() + j * kThreads, row = first + i / kChunks, chunk = stage * kChunks + i % kChunks;
    const auto* from =
        reinterpret_cast<const Int4*>(a.w) +
        (static_cast<int64_t>(row < a.rows ? row : a.rows - 1) * a.chunks + (chunk < a.chunks ? chunk : a.chunks - 1));
    async_copy<16>(shared + swizzled(i / kChunks, i % kChunks), from);
  }
}

// Sixteen columns of a stage.
template <GemmTile kTile>
GPU_DEVICE void multiply(const char* w, const char* x, int step, int columns, MmaPart<kTile>& part) {
  using Part = MmaPart<kTile>;
  uint32_t mine[Part::kTall][4];
  GPU_UNROLL
  for (int m = 0; m < Part::kTall; ++m) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Pair pair = load_quarter(w, Part::row(m, half), step);
      mine[m][half] = pair.v[0], mine[m][half + 2] = pair.v[1];
    }
  }
  GPU_UNROLL
  for (int j = 0; j < Part::kWide; ++j) {
    if (Part::ends(j, columns)) break;
    const Pair high = load_quarter(x, Part::column(j), step);
    const Pair low = load_quarter(x + Halves<kTile>::kLow, Part::column(j), step);
    GPU_UNROLL
    for (int m = 0; m < Part::kTall; ++m) {
      mma_bf16_16x8x16(part.sums[m][j], mine[m], high.v);
      mma_bf16_16x8x16(part.sums[m][j], mine[m], low.v);
    }
  }
}

template <GemmTile kTile>
GPU_DEVICE void gemm(const Linear& a, int n) {
  constexpr int kRows = kTile.rows, kColumns = kTile.columns;
  constexpr int kStages = Stages<kTile>::kCount, kStageBytes = Stages<kTile>::kBytes;
  char* shared_x = dynamic_shared<char>();
  char* shared_w = shared_x + kTurns * Halves<kTile>::kBytes;
  const int first_row = block_y() * kRows, first_column = block_x() * kColumns;
  const int left = n - first_column, columns = left < kColumns ? (left + 7) / 8 * 8 : kColumns;
  const int stages = (a.chunks + kChunks - 1) / kChunks;
  MmaPart<kTile> part;
  Halves<kTile> x;

  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < stages) copy<kTile>(a, shared_w + stage * kStageBytes, first_row, stage);
    async_commit();
  }
  x.load(a, n, first_column, columns, 0);
  x.store(shared_x);

  int turn = 0;
  for (int stage = 0; stage < stages; ++stage) {
    async_wait<kStages - 2>();
    barrier();
    // Into the place of the stage before, which all have multiplied.
    const int ahead = stage + kStages - 1;
    if (ahead < stages) copy<kTile>(a, shared_w + (turn == 0 ? kStages - 1 : turn - 1) * kStageBytes, first_row, ahead);
    async_commit();
    if (stage + 1 < stages) x.load(a, n, first_column, columns, stage + 1);
    GPU_UNROLL
    for (int step = 0; step < 4; ++step)
      multiply<kTile>(shared_w + turn * kStageBytes, shared_x + stage % kTurns * Halves<kTile>::kBytes, step, columns,
                      part);
    if (stage + 1 < stages) x.store(shared_x + (stage + 1) % kTurns * Halves<kTile>::kBytes);
    turn = turn == kStages - 1 ? 0 : turn + 1;
  }
  part.write(a, n, first_row, first_column, nullptr);
}

}  // namespace

#define MOSHI_GEMM(tile, name)                                                   \
  GPU_KERNEL(kGemmMma80Tiles[tile].threads, 512 / kGemmMma80Tiles[tile].threads) \
  gemm_bf16_mma80_##name(Linear a, int n) { gemm<kGemmMma80Tiles[tile]>(a, n); }
MOSHI_GEMM(0, 128x64)
MOSHI_GEMM(1, 64x64)
MOSHI_GEMM(2, 32x64)
MOSHI_GEMM(3, 32x16)

}  // namespace moshi

#endif
