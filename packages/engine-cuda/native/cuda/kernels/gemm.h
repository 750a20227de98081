// How linear layers for more rows of x than kLinearMost are launched: kernels gemm_*(Linear a, int n). Of a, `split` is
// not used.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/linear.h"

namespace moshi {

// What multiplies: plain arithmetic, the matrix units of sm_75, or those of sm_80 and later. For codes an image has the
// best its generation can do and no other.
enum class GemmPath : uint8_t { Plain, Mma75, Mma80 };

// The part of y that a block makes.
struct GemmTile {
  int rows;     // of w
  int columns;  // rows of x
  int threads;
};
inline constexpr int kGemmThreads = 128;  // of every plain tile
inline constexpr GemmTile kGemmTiles[] = {{64, 64, kGemmThreads}, {32, 128, kGemmThreads}, {32, 32, kGemmThreads}};
inline constexpr GemmTile kGemmMma75Tiles[] = {{64, 64, kGemmThreads}, {32, 64, kGemmThreads}, {32, 16, kGemmThreads}};
inline constexpr GemmTile kGemmMma80Tiles[] = {{128, 64, 256}, {64, 64, 128}, {32, 64, 128}, {32, 16, 128}};

struct GemmTiles {
  const GemmTile* tiles;
  int count;
};
constexpr GemmTiles gemm_tiles(GemmPath path) {
  switch (path) {
    case GemmPath::Mma75:
      return {kGemmMma75Tiles, 3};
    case GemmPath::Mma80:
      return {kGemmMma80Tiles, 4};
    default:
      return {kGemmTiles, 3};
  }
}

// Of shared memory a block takes so much that two blocks fit onto a multiprocessor of an H100, and one onto the
// smallest that has Mma80.
inline constexpr int kGemmShared = 92 * 1024;
constexpr int gemm_stages(int bytes, int stage_bytes) {
  return bytes / stage_bytes < 8 ? bytes / stage_bytes : 8;
}
// A stage of codes has four blocks of 32 columns with their scales, w's as packed.
inline constexpr int kGemmStageBlocks = 4;
constexpr int gemm_codes_stage(GemmTile tile, int w_bytes_of_block) {
  return kGemmStageBlocks * (tile.rows * (w_bytes_of_block + 8) + tile.columns * (32 + 8));
}
// A stage of BF16 has 64 columns of w. Beside the stages are two times 64 floats of each row of x.
constexpr int gemm_bf16_stages(GemmTile tile) {
  return gemm_stages(kGemmShared - tile.columns * 512, tile.rows * 128);
}
constexpr int gemm_bf16_bytes(GemmTile tile) {
  return gemm_bf16_stages(tile) * tile.rows * 128 + tile.columns * 512;
}
constexpr int gemm_shared_bytes(LinearForm form, GemmPath path, GemmTile tile) {
  if (path != GemmPath::Mma80) return 0;
  if (form == LinearForm::BF16) return gemm_bf16_bytes(tile);
  const int stage = gemm_codes_stage(tile, form >= LinearForm::Q4_0 ? 16 : 32);
  return gemm_stages(kGemmShared, stage) * stage;
}

// Plain layers over floats add up parts of so many columns each for itself, then the parts in their order. So a tile's
// columns can be shared among blocks, of which the last to come joins the parts, and no bit depends on how many share.
inline constexpr int kGemmPart = 128;
constexpr int gemm_parts(int cols) {
  return (cols + kGemmPart - 1) / kGemmPart;
}
// Large tiles have no registers left for it, and are for what keeps a GPU busy anyway.
constexpr bool gemm_shares(GemmTile tile) {
  return tile.rows * tile.columns <= 8 * kGemmThreads;
}

struct GemmPlan {
  GemmPath path;
  int tile;  // which of the path's
  int x, y;  // tiles: blocks of the grid
  int z;     // blocks that share a tile's columns
  int threads;
  int shared_bytes;  // beyond 48 kB for Mma80, never beyond 99
};

// With a given tile, whose columns so many blocks share.
constexpr GemmPlan gemm_plan_with(LinearForm form, GemmPath path, int tile, int rows, int n, int sharing = 1) {
  const GemmTile t = gemm_tiles(path).tiles[tile];
  return {path,    tile,      (n + t.columns - 1) / t.columns, (rows + t.rows - 1) / t.rows,
          sharing, t.threads, gemm_shared_bytes(form, path, t)};
}

// Floats that blocks give each other.
constexpr int64_t gemm_parts_floats(const GemmPlan& plan, int cols) {
  const GemmTile tile = gemm_tiles(plan.path).tiles[plan.tile];
  return plan.z == 1 ? 0 : int64_t{plan.x} * plan.y * gemm_parts(cols) * tile.rows * tile.columns;
}

// What multiplies on the generation that the image is for, whatever n.
constexpr GemmPath gemm_path(LinearForm form, int arch, int rows, int cols) {
  // Small matrices of floats would leave most of a stage empty.
  const bool large_floats = form == LinearForm::BF16 && rows >= 64 && cols >= 64;
  if (arch >= 80 && (has_codes(form) || large_floats)) return GemmPath::Mma80;
  return arch >= 75 && has_codes(form) ? GemmPath::Mma75 : GemmPath::Plain;
}

// So many blocks keep a GPU busy; where there would be fewer, smaller ones are worth what they read twice.
inline constexpr int kGemmBlocks = 128;
// Blocks that share columns are short of breath: several of them on a multiprocessor wait side by side.
inline constexpr int kGemmSharing = 3 * kGemmBlocks;

// Every tile of a path adds in the same order, so that a row of x gets the same bits in any company.
constexpr GemmPlan gemm_plan(LinearForm form, int arch, int rows, int cols, int n) {
  const GemmPath path = gemm_path(form, arch, rows, cols);
  const auto plan = [&](int tile) { return gemm_plan_with(form, path, tile, rows, n); };
  const auto busy = [](const GemmPlan& p) { return p.x * p.y >= kGemmBlocks; };
  if (path == GemmPath::Plain) {
    const GemmPlan large = plan(rows <= 32 ? 1 : 0);
    if (n > 32 && busy(large)) return large;
    const GemmPlan small = plan(2);
    if (has_codes(form) || busy(small)) return small;
    const int most = kGemmSharing / (small.x * small.y), parts = gemm_parts(cols);
    return gemm_plan_with(form, path, 2, rows, n, parts < most ? parts : most);
  }
  // The last two are for many and for few rows of x.
  const int few = gemm_tiles(path).count - 1;
  for (int tile = 0; tile < few - 1; ++tile)
    if (busy(plan(tile))) return plan(tile);
  return plan(n > 16 ? few - 1 : few);
}

// The forms that Mma80 multiplies.
#define MOSHI_GEMM_MMA80(EACH) \
  EACH(BF16, bf16)             \
  MOSHI_LINEAR_CODES(EACH)

// That of a plan, from tables of forms and tiles.
template <typename Plain, typename Mma75, typename Mma80>
constexpr auto gemm_of(LinearForm form, const GemmPlan& plan, const Plain& plain, const Mma75& mma75,
                       const Mma80& mma80) {
  const auto of = [&](LinearForm first) { return static_cast<size_t>(form) - static_cast<size_t>(first); };
  switch (plan.path) {
    case GemmPath::Mma75:
      return mma75[of(LinearForm::Q8_0)][plan.tile];
    case GemmPath::Mma80:
      return mma80[of(LinearForm::BF16)][plan.tile];
    default:
      return plain[of(LinearForm::F32)][plan.tile];
  }
}

// What the kernel of a plan is called.
inline const char* gemm_name(LinearForm form, const GemmPlan& plan) {
#define MOSHI_GEMM(Form, form) {"gemm_" #form "_64x64", "gemm_" #form "_32x128", "gemm_" #form "_32x32"},
  static constexpr const char* kPlain[][3] = {MOSHI_LINEAR_FORMS(MOSHI_GEMM)};
#undef MOSHI_GEMM
#define MOSHI_GEMM(Form, form) \
  {"gemm_" #form "_mma75_64x64", "gemm_" #form "_mma75_32x64", "gemm_" #form "_mma75_32x16"},
  static constexpr const char* kMma75[][3] = {MOSHI_LINEAR_CODES(MOSHI_GEMM)};
#undef MOSHI_GEMM
#define MOSHI_GEMM(Form, form)                                                                \
  {"gemm_" #form "_mma80_128x64", "gemm_" #form "_mma80_64x64", "gemm_" #form "_mma80_32x64", \
   "gemm_" #form "_mma80_32x16"},
  static constexpr const char* kMma80[][4] = {MOSHI_GEMM_MMA80(MOSHI_GEMM)};
#undef MOSHI_GEMM
  return gemm_of(form, plan, kPlain, kMma75, kMma80);
}

}  // namespace moshi
