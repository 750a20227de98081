// Linear layers over codes for many rows of x, on the matrix units of sm_80 and later: y [n, y_stride] (+)= x [n] times
// w [rows, cols] of cuda/packed.h. Grid (tiles of x, tiles of w), blocks and shared memory as gemm_plan() has them.
//
// A stage holds four blocks of 32 columns of a tile: w's factors [4][rows] and x's [4][columns], w's codes as they are
// packed, [rows][128 or 64 bytes], and x's, [columns][128 bytes]. While one is multiplied, as many as fit are on their
// way; the factors of w by way of registers, since they are too small for copies.
//
// A warp has 16 kTall rows of w, and every second group of 8 rows of x; a half of the tile that x does not have is left
// out. A product of 16 x 8 x 32 is one block of scales, its sums exact; what they stand for is added block by block, as
// in gemm.cu and with the same bits. To such a sum the order of columns is no matter as long as w's and x's agree: lane
// l has columns 8 (l % 4) … + 7, which one load brings.
#include "cuda/kernels/gemm.h"

#include "cuda/gpu.h"
#include "cuda/kernels/forms.h"

#if GPU_ARCH >= 800

namespace moshi {

namespace {

using namespace gpu;

constexpr int kBlocks = kGemmStageBlocks;
constexpr int kAcross = 2;  // warps of a block along x

struct alignas(8) Pair {
  uint32_t v[2];
};

// Where what lies in a stage.
template <typename Form, int kTile>
struct Layout {
  static constexpr GemmTile kOf = kGemmMmaTiles[kTile];
  static constexpr int kRows = kOf.rows, kColumns = kOf.columns, kThreads = kOf.threads;
  static constexpr int kWBytes = kBlocks * 512 / Form::kColumns, kXBytes = kBlocks * 32;  // of a row
  static constexpr int kX = kRows * kWBytes, kFactors = kX + kColumns * kXBytes;
  static constexpr int kScales = kFactors + kBlocks * kRows * 8;
  static constexpr int kBytes = kScales + kBlocks * kColumns * 8;
  static constexpr int kStages = gemm_stages(kBytes);
  static_assert(kBytes == gemm_stage_bytes(kOf, kWBytes / kBlocks));

  // What a warp reads together, four rows that follow one another, lies on different banks.
  GPU_DEVICE static int w(int row, int chunk) {
    return row * kWBytes + 16 * (Form::kColumns == 16 ? chunk ^ 2 * (row & 3) : chunk ^ (row >> 1 & 3));
  }
  GPU_DEVICE static int x(int column, int chunk) { return kX + column * kXBytes + 16 * (chunk ^ 2 * (column & 3)); }
};

// What a block brings of stage after stage.
template <typename Form, int kTile>
struct Feed {
  using Place = Layout<Form, kTile>;
  using Scale = typename Form::Scaling;
  static constexpr int kThreads = Place::kThreads;
  static constexpr int kShare = (Place::kRows * kBlocks + kThreads - 1) / kThreads;

  const Linear& a;
  int n, first_row, first_column;
  int groups;  // of 8 rows of x, at most the tile's

  // Rows and chunks that do not exist are copied as what is there, and not used.
  GPU_DEVICE void copy(char* shared, int stage) const {
    constexpr int kChunks = Place::kWBytes / 16, kCodes = Place::kXBytes / 16;
    GPU_UNROLL
    for (int j = 0; j < Place::kRows * kChunks / kThreads; ++j) {
      const int i = thread() + j * kThreads, row = first_row + i / kChunks, chunk = stage * kChunks + i % kChunks;
      const auto* from =
          reinterpret_cast<const Int4*>(a.w) + (static_cast<int64_t>(row < a.rows ? row : a.rows - 1) * a.chunks +
                                                (chunk < a.chunks ? chunk : a.chunks - 1));
      async_copy<16>(shared + Place::w(i / kChunks, i % kChunks), from);
    }
    for (int i = thread(); i < 8 * groups * kCodes; i += kThreads) {
      const int row = first_column + i / kCodes, chunk = stage * kCodes + i % kCodes;
      const auto* from =
          reinterpret_cast<const Int4*>(a.codes) + (static_cast<int64_t>(row < n ? row : n - 1) * a.blocks * 2 +
                                                    (chunk < 2 * a.blocks ? chunk : 2 * a.blocks - 1));
      async_copy<16>(shared + Place::x(i / kCodes, i % kCodes), from);
    }
    for (int i = thread(); i < 8 * groups * kBlocks; i += kThreads) {
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

GPU_DEVICE Pair load_pair(const char* shared) {
  return *reinterpret_cast<const Pair*>(shared);
}

// Eight codes of a lane's row of w: of packed halves, lanes 0 and 1 have the low ones and lanes 2 and 3 the high ones.
template <typename Form, int kTile>
GPU_DEVICE Pair load_codes(const char* stage, int row, int block) {
  using Place = Layout<Form, kTile>;
  const int quarter = lane() % 4;
  if constexpr (Form::kColumns == 16) {
    return load_pair(stage + Place::w(row, 2 * block + quarter / 2) + quarter % 2 * 8);
  } else {
    Pair codes = load_pair(stage + Place::w(row, block) + quarter % 2 * 8);
    const int shift = quarter / 2 * 4;
    GPU_UNROLL
    for (int i = 0; i < 2; ++i)
      codes.v[i] = Form::Scaling::kHigh ? codes.v[i] << (4 - shift) & 0xf0f0f0f0u : codes.v[i] >> shift & 0x0f0f0f0fu;
    return codes;
  }
}

template <typename Form, int kTile>
GPU_DEVICE void gemm(const Linear& a, int n) {
  using Place = Layout<Form, kTile>;
  constexpr int kStages = Place::kStages;
  constexpr int kTall = Place::kRows / 16 / (Place::kThreads / kWarp / kAcross);  // products of a warp along rows
  constexpr int kWide = Place::kColumns / 8 / kAcross;                            // and along x
  constexpr int kUnchecked = kWide > 1 ? kWide / 2 : 1;
  char* shared = dynamic_shared<char>();
  const int first_row = block_y() * Place::kRows, first_column = block_x() * Place::kColumns;
  const int left = n - first_column, here = left < Place::kColumns ? left : Place::kColumns;
  const Feed<Form, kTile> feed{a, n, first_row, first_column, (here + 7) / 8};
  const int stages = (a.blocks + kBlocks - 1) / kBlocks;

  const int across = warp() % kAcross, down = warp() / kAcross * (16 * kTall);
  const int line = lane() / 4, quarter = lane() % 4;
  float sums[kTall][kWide][4] = {};
  const auto multiply = [&](const char* stage, int block) {
    uint32_t w[kTall][4];
    Factors factors[kTall][2];
    GPU_UNROLL
    for (int m = 0; m < kTall; ++m) {
      GPU_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = down + 16 * m + 8 * half + line;
        const Pair codes = load_codes<Form, kTile>(stage, row, block);
        w[m][half] = codes.v[0], w[m][half + 2] = codes.v[1];
        factors[m][half] = reinterpret_cast<const Factors*>(stage + Place::kFactors)[block * Place::kRows + row];
      }
    }
    GPU_UNROLL
    for (int j = 0; j < kWide; ++j) {
      // Not at every group: between two checks the products need not wait for each other.
      if (j % kUnchecked == 0 && kAcross * j >= feed.groups) break;
      const int group = kAcross * j + across;
      const Pair codes = load_pair(stage + Place::x(8 * group + line, 2 * block + quarter / 2) + quarter % 2 * 8);
      const uint32_t x[2] = {codes.v[0], codes.v[1]};
      const Float4 scales =
          reinterpret_cast<const Float4*>(stage + Place::kScales)[(block * Place::kColumns + 8 * group) / 2 + quarter];
      const InputScale of[2] = {{scales.v[0], scales.v[1]}, {scales.v[2], scales.v[3]}};
      GPU_UNROLL
      for (int m = 0; m < kTall; ++m) {
        int dots[4] = {};
        mma_s8_16x8x32(dots, w[m], x);
        GPU_UNROLL
        for (int k = 0; k < 4; ++k) sums[m][j][k] = Form::scaled(factors[m][k / 2], of[k % 2], dots[k], sums[m][j][k]);
      }
    }
  };

  // All factors of the first stages are asked for before one is waited for.
  typename Form::Scaling::Raw raws[kStages - 1][Feed<Form, kTile>::kShare];
  GPU_UNROLL
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < stages) feed.copy(shared + stage * Place::kBytes, stage);
    async_commit();
    feed.load(raws[stage], stage);
  }
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
      if (stage * kBlocks + block < a.blocks) multiply(shared + turn * Place::kBytes, block);
    if (ahead < stages) feed.store(free, raw, ahead);
    turn = turn == kStages - 1 ? 0 : turn + 1;
  }

  GPU_UNROLL
  for (int m = 0; m < kTall; ++m) {
    GPU_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + down + 16 * m + 8 * half + line;
      if (row >= a.rows) continue;
      const float scale = Form::kRowScale ? reinterpret_cast<const float*>(a.scales)[row] : 1.0f;
      GPU_UNROLL
      for (int k = 0; k < 2 * kWide; ++k) {
        const int i = first_column + 8 * (kAcross * (k / 2) + across) + 2 * quarter + k % 2;
        if (i >= n) continue;
        float* y = a.y + i * a.y_stride + row;
        *y = multiply_add(sums[m][k / 2][2 * half + k % 2], scale, a.add ? *y : 0.0f);
      }
    }
  }
}

}  // namespace

#define MOSHI_GEMM_TILE(Form, form, tile, name)                              \
  GPU_KERNEL(kGemmMmaTiles[tile].threads, 512 / kGemmMmaTiles[tile].threads) \
  gemm_##form##_mma80_##name(Linear a, int n) { gemm<Form, tile>(a, n); }
#define MOSHI_GEMM(Form, form)           \
  MOSHI_GEMM_TILE(Form, form, 0, 128x64) \
  MOSHI_GEMM_TILE(Form, form, 1, 64x64)  \
  MOSHI_GEMM_TILE(Form, form, 2, 32x64)  \
  MOSHI_GEMM_TILE(Form, form, 3, 32x16)
MOSHI_LINEAR_CODES(MOSHI_GEMM)

}  // namespace moshi

#endif
