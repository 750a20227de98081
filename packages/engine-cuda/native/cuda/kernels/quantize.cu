// The input of linear layers over codes: rows of x [n, cols], x_stride apart, as whole numbers -127 … 127 with a scale
// for each block of 32 columns; codes [n, 32 blocks], scales [n, blocks], columns beyond cols are zeros.
// Grid (any, n), any number of whole warps a block. A warp takes four blocks at a time, eight lanes one block, a lane
// four columns of it.
#include "cuda/gpu.h"
#include "cuda/kernels/linear.h"

namespace moshi {

GPU_KERNEL(1024) quantize_rows(const float* x, int64_t x_stride, int cols, int8_t* codes, InputScale* scales) {
  using namespace gpu;
  const int blocks = (cols + 31) / 32;
  x += block_y() * x_stride;
  scales += static_cast<int64_t>(block_y()) * blocks;
  auto* words = reinterpret_cast<uint32_t*>(codes) + static_cast<int64_t>(block_y()) * blocks * 8;
  for (int four = block_x() * warps() + warp(); 4 * four < blocks; four += blocks_x() * warps()) {
    const int block = 4 * four + lane() / 8, word = 8 * block + lane() % 8;
    float values[4], most = 0;
    for (int i = 0; i < 4; ++i) {
      values[i] = 4 * word + i < cols ? x[4 * word + i] : 0;
      const float magnitude = values[i] < 0 ? -values[i] : values[i];
      most = magnitude > most ? magnitude : most;
    }
    most = over_lanes<Max>(most, 4);
    // Below, the quotient would be infinite.
    const float inverse = most > 3.8e-37f ? 127.0f / most : 0;
    uint32_t bytes = 0, sum = 0;
    for (int i = 0; i < 4; ++i) {
      // So large a number has no room for fractions: its last bits are the code, rounded to even, and once.
      const uint32_t bits = __builtin_bit_cast(uint32_t, multiply_add(values[i], inverse, 12582912.0f));
      bytes |= (bits & 255u) << 8 * i;
      sum += bits - 0x4b400000u;
    }
    sum = over_lanes<Sum>(sum, 4);
    if (block >= blocks) continue;
    words[word] = bytes;
    const float scale = most / 127.0f;
    if (lane() % 8 == 0) scales[block] = {scale, scale * static_cast<float>(static_cast<int>(sum))};
  }
}

}  // namespace moshi
