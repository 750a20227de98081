// Linear layers over codes for many rows of x, on the matrix units of sm_80 and later: y [n, y_stride] (+)= x [n] times
// w [rows, cols] of cuda/packed.h. Grid (tiles of x, tiles of w), blocks and shared memory as gemm_plan() has them.
//
// A stage holds four blocks of 32 columns of a tile: w's factors [4][rows] and x's [4][columns], w's codes as they are
// packed, [rows][128 or 64 bytes], and x's, [columns][128 bytes]. While one is multiplied, as many as fit are on their
// way; the factors of w by way of registers, since they are too small for copies.
//
// A product of 16 x 8 x 32 is one block of scales, its sums exact; what they stand for is added block by block, as in
// gemm.cu and with the same bits.
#include "cuda/gpu.h"
#include "cuda/kernels/forms.h"
#include "cuda/kernels/gemm_mma.h"

#if GPU_ARCH >= 800

namespace moshi {

namespace {

using namespace gpu;

constexpr int kBlocks = kGemmStageBlocks;

// Where a chunk of w lies, packed.
template <typename Form>
GPU_DEVICE int place(int row, int chunk) {
  return Form::kColumns == 16 ? swizzled(row, chunk) : row * 64 + 16 * (chunk ^ (row >> 1 & 3));
}

// Where what lies in a stage.
template <typename Form, GemmTile kTile>
struct Layout {
  static constexpr int kRows = kTile.rows, kColumns = kTile.columns;
  static constexpr int kWBytes = kBlocks * 512 / Form::kColumns, kXBytes = kBlocks * 32;  // of a row
  static constexpr int kX = kRows * kWBytes, kFactors = kX + kColumns * kXBytes;
  static constexpr int kScales = kFactors + kBlocks * kRows * 8;
  static constexpr int kBytes = kScales + kBlocks * kColumns * 8;
  static constexpr int kStages = gemm_stages(kGemmShared, kBytes);
  static_assert(kBytes == gemm_codes_stage(kTile, kWBytes / kBlocks));
};

// What a block brings of stage after stage.
template <typename Form, GemmTile kTile>
struct Feed {
  using Place = Layout<Form, kTile>;
  using Scale = typename Form::Scaling;
  static constexpr int kThreads = kTile.threads;
  static constexpr int kShare = (Place::kRows * kBlocks + kThreads - 1) / kThreads;

  const Linear& a;
  int n, first_row, first_column;
  int columns;  // rows of x that the tile has, made a multiple of 8

  // Rows and chunks that do not exist are copied as what is there, and not used.
  GPU_DEVICE void copy(char* shared, int stage) const {
    constexpr int kChunks = Place::kWBytes / 16, kCodes = Place::kXBytes / 16;
    GPU_UNROLL
    for (int j = 0; j < Place::kRows * kChunks / kThreads; ++j) {
      const int i = thread() + j * kThreads, row = first_row + i / kChunks, chunk = stage * kChunks + i % kChunks;
      const auto* from =
          reinterpret_cast<const Int4*>(a.w) + (static_cast<int64_t>(row < a.rows ? row : a.rows - 1) * a.chunks +
                                                (chunk < a.chunks ? chunk : a.chunks - 1));
      async_copy<16>(shared + place<Form>(i / kChunks, i % kChunks), from);
    }
    for (int i = thread(); i < columns * kCodes; i += kThreads) {
      const int row = first_column + i / kCodes, chunk = stage * kCodes + i % kCodes;
      const auto* from =
          reinterpret_cast<const Int4*>(a.codes) + (static_cast<int64_t>(row < n ? row : n - 1) * a.blocks * 2 +
                                                    (chunk < 2 * a.blocks ? chunk : 2 * a.blocks - 1));
      async_copy<16>(shared + Place::kX + swizzled(i / kCodes, i % kCodes), from);
    }
    for (int i = thread(); i < columns * kBlocks; i += kThreads) {
      const int row = first_column + i / kBlocks, block = stage * kBlocks + i % kBlocks;
      const InputScale* from = a.x_scales + (static_cast<int64_t>(row < n ? row : n - 1) * a.blocks +
                                             (block < a.blocks ? block : a.blocks - 1));
      async_copy<8>(shared + Place::kScales + 8 * (i % kBlocks * Place::kColumns + i / kBlocks), from);
    }
  }

  GPU_DEVICE void load(typename Scale::Raw (&raw)[kShare], int stage) const {
    GPU_UNROLL
    for (int j = 0; j < kShare; ++j) {
      const int i = thread() + j * kThreads, row = first_row + i / kBlocks, block = stage * kBlocks + i % kBlocks;
      raw[j] = Scale::load(a, row < a.rows ? row : a.rows - 1,
                           static_cast<uint32_t>(block < a.blocks ? block : a.blocks - 1));
    }
  }
  GPU_DEVICE void store(char* shared, const typename Scale::Raw (&raw)[kShare], int stage) const {
    auto* factors = reinterpret_cast<Factors*>(shared + Place::kFactors);
    GPU_UNROLL
    for (int j = 0; j < kShare; ++j) {
      const int i = thread() + j * kThreads, block = i % kBlocks;
      factors[block * Place::kRows + i / kBlocks] =
          Scale::factors(raw[j], static_cast<uint32_t>(stage * kBlocks + block));
    }
  }
};

// Eight codes of a lane's row of w: of packed halves, lanes 0 and 1 of four have the low ones and the others the high.
template <typename Form>
GPU_DEVICE Pair load_codes(const char* w, int row, int block) {
  if constexpr (Form::kColumns == 16) {
    return load_quarter(w, row, block);
  } else {
    Pair codes = load_pair(w + place<Form>(row, block) + lane() % 2 * 8);
    const int shift = lane() % 4 / 2 * 4;
    GPU_UNROLL
    for (int i = 0; i < 2; ++i)
      codes.v[i] = Form::Scaling::kHigh ? codes.v[i] << (4 - shift) & 0xf0f0f0f0u : codes.v[i] >> shift & 0x0f0f0f0fu;
    return codes;
  }
}

template <typename Form, GemmTile kTile>
GPU_DEVICE void multiply(const char* stage, int block, int columns, MmaPart<kTile>& part) {
  using Place = Layout<Form, kTile>;
  using Part = MmaPart<kTile>;
  const auto* factors = reinterpret_cast<const Factors*>(stage + Place::kFactors) + block * Place::kRows;
  // Those of two neighbours.
  const auto* scales = reinterpret_cast<const Float4*>(stage + Place::kScales) + block * Place::kColumns / 2;
  uint32_t w[Part::kTall][4];
  Factors mine[Part::kTall][2];
  GPU_UNROLL
  for (int m = 0; m < Part::kTall; ++m) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Pair codes = load_codes<Form>(stage, Part::row(m, half), block);
      w[m][half] = codes.v[0], w[m][half + 2] = codes.v[1];
      mine[m][half] = factors[Part::row(m, half)];
    }
  }
  GPU_UNROLL
  for (int j = 0; j < Part::kWide; ++j) {
    if (Part::ends(j, columns)) break;
    const Pair codes = load_quarter(stage + Place::kX, Part::column(j), block);
    const uint32_t x[2] = {codes.v[0], codes.v[1]};
    const Float4 both = scales[Part::pair(j) / 2];
    const InputScale of[2] = {{both.v[0], both.v[1]}, {both.v[2], both.v[3]}};
    GPU_UNROLL
    for (int m = 0; m < Part::kTall; ++m) {
      int dots[4] = {};
      mma_s8_16x8x32(dots, w[m], x);
      GPU_UNROLL
      for (int k = 0; k < 4; ++k)
        part.sums[m][j][k] = Form::scaled(mine[m][k / 2], of[k % 2], dots[k], part.sums[m][j][k]);
    }
  }
}

template <typename Form, GemmTile kTile>
GPU_DEVICE void gemm(const Linear& a, int n) {
  using Place = Layout<Form, kTile>;
  constexpr int kStages = Place::kStages;
  char* shared = dynamic_shared<char>();
  const int first_row = block_y() * Place::kRows, first_column = block_x() * Place::kColumns;
  const int left = n - first_column, columns = left < Place::kColumns ? (left + 7) / 8 * 8 : Place::kColumns;
  const Feed<Form, kTile> feed{a, n, first_row, first_column, columns};
  const int stages = (a.blocks + kBlocks - 1) / kBlocks;
  MmaPart<kTile> part;

  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < stages) feed.copy(shared + stage * Place::kBytes, stage);
    async_commit();
  }
  // All factors of the first stages are asked for before one is waited for.
  typename Form::Scaling::Raw raws[kStages - 1][Feed<Form, kTile>::kShare];
  GPU_UNROLL
  for (int stage = 0; stage < kStages - 1; ++stage) feed.load(raws[stage], stage);
  GPU_UNROLL
  for (int stage = 0; stage < kStages - 1; ++stage) feed.store(shared + stage * Place::kBytes, raws[stage], stage);

  int turn = 0;
  for (int stage = 0; stage < stages; ++stage) {
    async_wait<kStages - 2>();
    barrier();
    // Into the place of the stage before, which all have multiplied.
    const int ahead = stage + kStages - 1;
    char* free = shared + (turn == 0 ? kStages - 1 : turn - 1) * Place::kBytes;
    typename Form::Scaling::Raw raw[Feed<Form, kTile>::kShare] = {};
    if (ahead < stages) {
      feed.copy(free, ahead);
      feed.load(raw, ahead);
    }
    async_commit();
    GPU_UNROLL
    for (int block = 0; block < kBlocks; ++block)
      if (stage * kBlocks + block < a.blocks) multiply<Form>(shared + turn * Place::kBytes, block, columns, part);
    if (ahead < stages) feed.store(free, raw, ahead);
    turn = turn == kStages - 1 ? 0 : turn + 1;
  }

  part.write(a, n, first_row, first_column, Form::kRowScale ? reinterpret_cast<const float*>(a.scales) : nullptr);
}

}  // namespace

#define MOSHI_GEMM_TILE(Form, form, tile, name)                                            \
  GPU_OF_FORM(                                                                             \
      form, GPU_KERNEL(kGemmMma80Tiles[tile].threads, 512 / kGemmMma80Tiles[tile].threads) \
                gemm_##form##_mma80_##name(Linear a, int n) { gemm<Form, kGemmMma80Tiles[tile]>(a, n); })
#define MOSHI_GEMM(Form, form)           \
  MOSHI_GEMM_TILE(Form, form, 0, 128x64) \
  MOSHI_GEMM_TILE(Form, form, 1, 64x64)  \
  MOSHI_GEMM_TILE(Form, form, 2, 32x64)  \
  MOSHI_GEMM_TILE(Form, form, 3, 32x16)
MOSHI_LINEAR_CODES(MOSHI_GEMM)

}  // namespace moshi

#endif
