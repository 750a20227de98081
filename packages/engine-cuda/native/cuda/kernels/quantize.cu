// Rows of x [n, cols], x_stride apart, as codes [n, 32 blocks] with scales [n, blocks].
// Grid (any, n), any number of whole warps a block.
#include "cuda/kernels/codes.h"

namespace moshi {

GPU_KERNEL(1024) quantize_rows(const float* x, int64_t x_stride, int cols, int8_t* codes, InputScale* scales) {
  using namespace gpu;
  const int64_t blocks = (cols + 31) / 32, row = block_y();
  x += row * x_stride;
  quantize_row([x](int column) { return x[column]; }, cols, codes + 32 * blocks * row, scales + blocks * row,
               block_x() * warps() + warp(), blocks_x() * warps());
}

}  // namespace moshi
