// Linear layers for many rows of x, by plain arithmetic: y [n, y_stride] (+)= x [n] times w [rows, cols] of
// cuda/packed.h. Grid (tiles of x, tiles of w, blocks that share a tile's columns), blocks of 128 threads; neighbours
// in the grid read the same of w.
//
// Thread t has rows t % 8 + 8 r and columns t / 8 + 16 c of a tile: what a warp reads together lies on different banks,
// and what it writes side by side. A sum goes over the columns of a part one by one and then over the parts, over codes
// block by block: its order is the same in every tile.
#include "cuda/gpu.h"
#include "cuda/kernels/forms.h"
#include "cuda/kernels/gemm_steps.h"
#include "cuda/kernels/linear_end.h"

namespace moshi {

namespace {

using namespace gpu;

constexpr int kAlongRows = 8, kAlongColumns = kGemmThreads / kAlongRows;  // threads of a block

// What a thread adds up: its rows of w times its columns of a tile.
template <typename Sum, int kRows, int kColumns>
struct Part {
  static constexpr int kR = kRows / kAlongRows, kC = kColumns / kAlongColumns;
  static constexpr bool kShares = gemm_shares({kRows, kColumns, kGemmThreads});  // its tile, with other blocks

  GPU_DEVICE static int row(int r) { return thread() % kAlongRows + kAlongRows * r; }
  GPU_DEVICE static int column(int c) { return thread() / kAlongRows + kAlongColumns * c; }
  // Adds what one quad of each row gives.
  GPU_DEVICE void add(const Shared<kRows>& w, const Shared<kColumns>& x, int turn, int quad) {
    Int4 mine[kR];
    GPU_UNROLL
    for (int r = 0; r < kR; ++r) mine[r] = w.at(turn, row(r), quad);
    GPU_UNROLL
    for (int c = 0; c < kC; ++c) {
      const Int4 other = x.at(turn, column(c), quad);
      GPU_UNROLL
      for (int r = 0; r < kR; ++r) sums[r][c] = meet(mine[r], other, sums[r][c]);
    }
  }
  GPU_DEVICE static int meet(const Int4& w, const Int4& x, int sum) {
    GPU_UNROLL
    for (int k = 0; k < 4; ++k) sum = dot4(w.v[k], x.v[k], sum);
    return sum;
  }
  GPU_DEVICE static float meet(const Int4& w, const Int4& x, float sum) {
    const auto floats = __builtin_bit_cast(Float4, w), others = __builtin_bit_cast(Float4, x);
    GPU_UNROLL
    for (int k = 0; k < 4; ++k) sum = multiply_add(floats.v[k], others.v[k], sum);
    return sum;
  }

  // Calls each(sum, number) for all sums.
  template <typename Each>
  GPU_DEVICE void for_sums(Each each) {
    GPU_UNROLL
    for (int r = 0; r < kR; ++r) {
      GPU_UNROLL
      for (int c = 0; c < kC; ++c) each(sums[r][c], r * kC + c);
    }
  }

  Sum sums[kR][kC] = {};
};

constexpr int kPartSteps = kGemmPart / 16;

// Adds up a tile of a layer over floats; false where another block has the rest to do.
template <typename Form, int kRows, int kColumns>
GPU_DEVICE bool add_parts(const Linear& a, int n, int first_row, int first_column,
                          Part<float, kRows, kColumns>& total) {
  const int steps = (a.cols + 15) / 16, parts = (steps + kPartSteps - 1) / kPartSteps;
  const int begin = parts * block_z() / blocks_z(), end = parts * (block_z() + 1) / blocks_z();
  const bool alone = !total.kShares || blocks_z() == 1;
  const int tile = block_y() * blocks_x() + block_x();
  // [parts][sums][threads] of the tile: a thread takes back what those in its place have left.
  float* places = alone ? nullptr : a.parts + static_cast<int64_t>(tile) * parts * kRows * kColumns + thread();
  Part<float, kRows, kColumns> part;
  const auto add_step = [&](const Shared<kRows>& w, const Shared<kColumns>& x, int turn, int step) {
    GPU_UNROLL
    for (int q = 0; q < kQuads; ++q) part.add(w, x, turn, q);
    if ((step + 1) % kPartSteps != 0 && step + 1 != steps) return;
    const int64_t place = static_cast<int64_t>(step / kPartSteps) * kRows * kColumns;
    part.for_sums([&](float& sum, int i) {
      if (alone)
        total.sums[i / part.kC][i % part.kC] += sum;
      else
        places[place + i * kGemmThreads] = sum;
      sum = 0;
    });
  };
  for_steps<Form, kRows, kColumns>(a, n, first_row, first_column, begin * kPartSteps,
                                   end == parts ? steps : end * kPartSteps, add_step);
  if (alone) return true;
  if (!last_to_come(a.arrived + tile, blocks_z())) return false;
  constexpr int kSums = kRows * kColumns / kGemmThreads, kAhead = 8;  // parts whose loads are in flight
  for (int p = 0; p < parts; p += kAhead) {
    float values[kAhead][kSums];
    GPU_UNROLL
    for (int k = 0; k < kAhead; ++k) {
      const float* theirs = places + static_cast<int64_t>(p + k < parts ? p + k : p) * kRows * kColumns;
      GPU_UNROLL
      for (int i = 0; i < kSums; ++i) values[k][i] = theirs[i * kGemmThreads];
    }
    GPU_UNROLL
    for (int k = 0; k < kAhead; ++k)
      if (p + k < parts) total.for_sums([&](float& sum, int i) { sum += values[k][i]; });
  }
  return true;
}

template <typename Form, int kRows, int kColumns>
GPU_DEVICE void gemm(const Linear& a, int n) {
  const int first_row = block_y() * kRows, first_column = block_x() * kColumns;
  Part<float, kRows, kColumns> part;
  if constexpr (Form::kCodes) {
    for_blocks<Form, kRows, kColumns>(a, n, first_row, first_column,
                                      [&](const Shared<kRows>& w, const Shared<kColumns>& x, int turn, int block,
                                          const Factors* factors, const InputScale* scales) {
                                        Part<int, kRows, kColumns> dots;
                                        GPU_UNROLL
                                        for (int q = 0; q < 2; ++q) dots.add(w, x, turn, 2 * block + q);
                                        GPU_UNROLL
                                        for (int c = 0; c < part.kC; ++c) {
                                          const InputScale scale = scales[part.column(c)];
                                          GPU_UNROLL
                                          for (int r = 0; r < part.kR; ++r)
                                            part.sums[r][c] = Form::scaled(factors[part.row(r)], scale, dots.sums[r][c],
                                                                           part.sums[r][c]);
                                        }
                                      });
  } else {
    if (!add_parts<Form, kRows, kColumns>(a, n, first_row, first_column, part)) return;
  }

  GPU_UNROLL
  for (int r = 0; r < part.kR; ++r) {
    const int out = first_row + part.row(r);
    GPU_UNROLL
    for (int c = 0; c < part.kC; ++c) {
      const int i = first_column + part.column(c);
      if (out < a.rows && i < n) put_sum<Form>(a, out, part.sums[r][c], a.y + i * a.y_stride + out);
    }
  }
  // Another turn, since so many activations side by side would be most of the kernel.
  if (Form::kCodes || a.after == Activation::Identity) return;
  for (int r = 0; r < part.kR; ++r)
    for (int c = 0; c < part.kC; ++c) {
      const int out = first_row + part.row(r), i = first_column + part.column(c);
      if (out < a.rows && i < n) activate_sum<Form>(a, a.y + i * a.y_stride + out);
    }
}

}  // namespace

// Three blocks on a multiprocessor leave a thread 168 registers.
#define MOSHI_GEMM_TILE(Form, form, rows, columns) \
  GPU_OF_FORM(                                     \
      form, GPU_KERNEL(kGemmThreads, 3)            \
                gemm_##form##_##rows##x##columns(Linear a, int n) { gemm<Form, rows, columns>(a, n); })
#define MOSHI_GEMM(Form, form)         \
  MOSHI_GEMM_TILE(Form, form, 64, 64)  \
  MOSHI_GEMM_TILE(Form, form, 32, 128) \
  MOSHI_GEMM_TILE(Form, form, 32, 32)
MOSHI_LINEAR_FLOATS(MOSHI_GEMM)
// Where codes have matrix units, those multiply them.
#if GPU_ARCH < 750 || !defined(__CUDA_ARCH__)
MOSHI_LINEAR_CODES(MOSHI_GEMM)
#endif

}  // namespace moshi
