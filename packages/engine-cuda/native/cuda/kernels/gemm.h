// How linear layers for more rows of x than kLinearMost are launched: kernels gemm_*(Linear a, int n). Of a, `split` is
// not used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "cuda/kernels/linear.h"

namespace moshi {

// What multiplies.
enum class GemmPath : uint8_t { Plain };

// The part of y that a block makes.
struct GemmTile {
  int rows;     // of w
  int columns;  // rows of x
};
inline constexpr GemmTile kGemmTiles[] = {{64, 64}, {32, 128}, {32, 32}};
inline constexpr int kGemmThreads = 128;

struct GemmPlan {
  GemmPath path;
  int tile;  // which of the path's
  int x, y;  // blocks of the grid
  int threads;
  int shared_bytes;
};

constexpr int gemm_tiles(GemmPath) {
  return static_cast<int>(std::size(kGemmTiles));
}
constexpr GemmTile gemm_tile(const GemmPlan& plan) {
  return kGemmTiles[plan.tile];
}

// With a given tile.
constexpr GemmPlan gemm_plan_with(GemmPath path, int tile, int rows, int n) {
  const GemmTile t = kGemmTiles[tile];
  return {path, tile, (n + t.columns - 1) / t.columns, (rows + t.rows - 1) / t.rows, kGemmThreads, 0};
}

// So many blocks keep a GPU busy; where there would be fewer, smaller ones are worth what they read twice.
inline constexpr int kGemmBlocks = 128;

// Every tile of a path adds in the same order, and the path is no matter of n: a row of x gets the same bits in any
// company.
constexpr GemmPlan gemm_plan(LinearForm, int /*arch*/, int rows, int /*cols*/, int n) {
  const GemmPlan large = gemm_plan_with(GemmPath::Plain, rows <= 32 ? 1 : 0, rows, n);
  return n > 32 && large.x * large.y >= kGemmBlocks ? large : gemm_plan_with(GemmPath::Plain, 2, rows, n);
}

// What the kernel of a plan is called.
inline const char* gemm_name(LinearForm form, const GemmPlan& plan) {
#define MOSHI_GEMM(Form, form) {"gemm_" #form "_64x64", "gemm_" #form "_32x128", "gemm_" #form "_32x32"},
  static constexpr const char* kPlain[][3] = {MOSHI_LINEAR_FORMS(MOSHI_GEMM)};
#undef MOSHI_GEMM
  return kPlain[static_cast<size_t>(form)][plan.tile];
}

}  // namespace moshi
