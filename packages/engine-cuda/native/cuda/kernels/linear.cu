// Linear layers for few rows of x, a tile a block: grid (linear_blocks(rows, split, n)), blocks of 4 warps.
#include "cuda/kernels/linear_tile.h"

namespace moshi {

namespace {

using namespace gpu;

template <typename Form, int kN>
GPU_DEVICE void linear(const Linear& a) {
  GPU_SHARED(float, parts, kLinearWarps* Share<kN>::kSums);
  linear_tile<Form, kN, kLinearWarps>(a, block_x(), kN, parts);
}

// Blocks to a multiprocessor: five leave a thread 96 registers, four 128; with fewer the many rows would spill some.
constexpr int linear_residents(int n) {
  return n <= 4 ? 5 : 4;
}

}  // namespace

#define MOSHI_LINEAR_ROWS(Form, form, n) \
  GPU_OF_FORM(                           \
      form, GPU_KERNEL(kLinearWarps * 32, linear_residents(n)) linear_##form##_##n(Linear a) { linear<Form, n>(a); })
#define MOSHI_LINEAR(Form, form)   \
  MOSHI_LINEAR_ROWS(Form, form, 1) \
  MOSHI_LINEAR_ROWS(Form, form, 2) \
  MOSHI_LINEAR_ROWS(Form, form, 3) \
  MOSHI_LINEAR_ROWS(Form, form, 4) \
  MOSHI_LINEAR_ROWS(Form, form, 5) \
  MOSHI_LINEAR_ROWS(Form, form, 6) \
  MOSHI_LINEAR_ROWS(Form, form, 7) \
  MOSHI_LINEAR_ROWS(Form, form, 8)
MOSHI_LINEAR_FORMS(MOSHI_LINEAR)

}  // namespace moshi
