// How linear layers for more rows of x than kLinearMost are launched: kernels gemm_*(Linear a, int n). Of a, `split` is
// not used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "cuda/kernels/linear.h"

namespace moshi {

// What multiplies: plain arithmetic, which every GPU has, or the matrix units of sm_80 and later.
enum class GemmPath : uint8_t { Plain, Mma80 };

// The part of y that a block makes.
struct GemmTile {
  int rows;     // of w
  int columns;  // rows of x
  int threads;
};
inline constexpr int kGemmThreads = 128;  // of every plain tile
inline constexpr GemmTile kGemmTiles[] = {{64, 64, kGemmThreads}, {32, 128, kGemmThreads}, {32, 32, kGemmThreads}};
inline constexpr GemmTile kGemmMmaTiles[] = {{128, 64, 256}, {64, 64, 128}, {32, 64, 128}, {32, 16, 128}};

constexpr int gemm_tiles(GemmPath path) {
  return static_cast<int>(path == GemmPath::Plain ? std::size(kGemmTiles) : std::size(kGemmMmaTiles));
}
constexpr GemmTile gemm_tile(GemmPath path, int tile) {
  return path == GemmPath::Plain ? kGemmTiles[tile] : kGemmMmaTiles[tile];
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
  if (path == GemmPath::Plain) return 0;
  if (form == LinearForm::BF16) return gemm_bf16_bytes(tile);
  const int stage = gemm_codes_stage(tile, form >= LinearForm::Q4_0 ? 16 : 32);
  return gemm_stages(kGemmShared, stage) * stage;
}

struct GemmPlan {
  GemmPath path;
  int tile;  // which of the path's
  int x, y;  // blocks of the grid
  int threads;
  int shared_bytes;  // beyond 48 kB for Mma80, never beyond 99
};

// With a given tile.
constexpr GemmPlan gemm_plan_with(LinearForm form, GemmPath path, int tile, int rows, int n) {
  const GemmTile t = gemm_tile(path, tile);
  return {path,
          tile,
          (n + t.columns - 1) / t.columns,
          (rows + t.rows - 1) / t.rows,
          t.threads,
          gemm_shared_bytes(form, path, t)};
}

// So many blocks keep a GPU busy; where there would be fewer, smaller ones are worth what they read twice.
inline constexpr int kGemmBlocks = 128;

// Every tile of a path adds in the same order, and the path is no matter of n: a row of x gets the same bits in any
// company.
constexpr GemmPlan gemm_plan(LinearForm form, int arch, int rows, int cols, int n) {
  const auto plan = [&](GemmPath path, int tile) { return gemm_plan_with(form, path, tile, rows, n); };
  const auto busy = [](const GemmPlan& p) { return p.x * p.y >= kGemmBlocks; };
  // Small matrices of floats would leave most of a stage empty.
  const bool large_floats = form == LinearForm::BF16 && rows >= 64 && cols >= 64;
  if (arch >= 80 && (has_codes(form) || large_floats)) {
    for (const int tile : {0, 1})
      if (busy(plan(GemmPath::Mma80, tile))) return plan(GemmPath::Mma80, tile);
    return plan(GemmPath::Mma80, n > 16 ? 2 : 3);
  }
  const GemmPlan large = plan(GemmPath::Plain, rows <= 32 ? 1 : 0);
  return n > 32 && busy(large) ? large : plan(GemmPath::Plain, 2);
}

// The forms that Mma80 multiplies.
#define MOSHI_GEMM_MMA80(EACH) \
  EACH(BF16, bf16)             \
  MOSHI_LINEAR_CODES(EACH)

// What the kernel of a plan is called.
inline const char* gemm_name(LinearForm form, const GemmPlan& plan) {
#define MOSHI_GEMM(Form, form) {"gemm_" #form "_64x64", "gemm_" #form "_32x128", "gemm_" #form "_32x32"},
  static constexpr const char* kPlain[][3] = {MOSHI_LINEAR_FORMS(MOSHI_GEMM)};
#undef MOSHI_GEMM
#define MOSHI_GEMM(Form, form)                                                                \
  {"gemm_" #form "_mma80_128x64", "gemm_" #form "_mma80_64x64", "gemm_" #form "_mma80_32x64", \
   "gemm_" #form "_mma80_32x16"},
  static constexpr const char* kMma80[][4] = {MOSHI_GEMM_MMA80(MOSHI_GEMM)};
#undef MOSHI_GEMM
  const auto f = static_cast<size_t>(form);
  return plan.path == GemmPath::Plain ? kPlain[f][plan.tile]
                                      : kMma80[f - static_cast<size_t>(LinearForm::BF16)][plan.tile];
}

}  // namespace moshi
