// Linear layers over codes for many rows of x, on the matrix units of sm_75: y [n, y_stride] (+)= x [n] times w [rows,
// cols] of cuda/packed.h. Grid (tiles of x, tiles of w), blocks of 128 threads.
//
// Four products of 8 x 8 x 16 make one block of scales for 16 rows of w and 8 of x. Their sums are exact, and what they
// stand for is added block by block, as in gemm.cu and with the same bits.
#include "cuda/gpu.h"
#include "cuda/kernels/gemm_mma.h"
#include "cuda/kernels/gemm_steps.h"

// Later GPUs have better ones.
#if GPU_ARCH >= 750 && (GPU_ARCH < 800 || !defined(__CUDA_ARCH__))

namespace moshi {

namespace {

using namespace gpu;

// A lane's word of each half of a block: columns 4 (l % 4) … + 3, and 16 further.
template <int kRows>
GPU_DEVICE void load_words(uint32_t (&words)[2], const Shared<kRows>& shared, int turn, int row, int block) {
  GPU_UNROLL
  for (int half = 0; half < 2; ++half)
    words[half] = static_cast<uint32_t>(shared.at(turn, row, 2 * block + half).v[lane() % 4]);
}

template <typename Form, GemmTile kTile>
GPU_DEVICE void gemm(const Linear& a, int n) {
  using Part = MmaPart<kTile>;
  static_assert(kTile.threads == kGemmThreads);
  constexpr int kRows = kTile.rows, kColumns = kTile.columns;
  const int first_row = block_y() * kRows, first_column = block_x() * kColumns;
  Part part;
  for_blocks<Form, kRows, kColumns>(a, n, first_row, first_column,
                                    [&](const Shared<kRows>& w, const Shared<kColumns>& x, int turn, int block,
                                        const Factors* factors, const InputScale* scales) {
                                      uint32_t rows[Part::kTall][2][2];
                                      Factors mine[Part::kTall][2];
                                      GPU_UNROLL
                                      for (int m = 0; m < Part::kTall; ++m) {
                                        GPU_UNROLL
                                        for (int half = 0; half < 2; ++half) {
                                          load_words(rows[m][half], w, turn, Part::row(m, half), block);
                                          mine[m][half] = factors[Part::row(m, half)];
                                        }
                                      }
                                      GPU_UNROLL
                                      for (int j = 0; j < Part::kWide; ++j) {
                                        if (Part::ends(j, n - first_column)) break;
                                        uint32_t columns[2];
                                        load_words(columns, x, turn, Part::column(j), block);
                                        const InputScale of[2] = {scales[Part::pair(j)], scales[Part::pair(j) + 1]};
                                        GPU_UNROLL
                                        for (int m = 0; m < Part::kTall; ++m) {
                                          GPU_UNROLL
                                          for (int half = 0; half < 2; ++half) {
                                            int dots[2] = {};
                                            mma_s8_8x8x16(dots, rows[m][half][0], columns[0]);
                                            mma_s8_8x8x16(dots, rows[m][half][1], columns[1]);
                                            GPU_UNROLL
                                            for (int k = 0; k < 2; ++k) {
                                              float& sum = part.sums[m][j][2 * half + k];
                                              sum = Form::scaled(mine[m][half], of[k], dots[k], sum);
                                            }
                                          }
                                        }
                                      }
                                    });
  part.write(a, n, first_row, first_column, Form::kRowScale ? reinterpret_cast<const float*>(a.scales) : nullptr);
}

}  // namespace

#define MOSHI_GEMM_TILE(Form, form, tile, name) \
  GPU_OF_FORM(                                  \
      form, GPU_KERNEL(kGemmThreads, 3)         \
                gemm_##form##_mma75_##name(Linear a, int n) { gemm<Form, kGemmMma75Tiles[tile]>(a, n); })
#define MOSHI_GEMM(Form, form)          \
  MOSHI_GEMM_TILE(Form, form, 0, 64x64) \
  MOSHI_GEMM_TILE(Form, form, 1, 32x64) \
  MOSHI_GEMM_TILE(Form, form, 2, 32x16)
MOSHI_LINEAR_CODES(MOSHI_GEMM)

}  // namespace moshi

#endif
