// How a grid's threads share the elements of a row: neighbours take neighbours, so that a warp's loads lie together,
// and where there are fewer threads than elements, each goes on one grid further.
#pragma once

#include "cuda/gpu.h"

namespace moshi::gpu {

// The calling thread's first element, and how far it is to the next one.
GPU_DEVICE int64_t first() {
  return static_cast<int64_t>(block_x()) * threads() + thread();
}
GPU_DEVICE int64_t step() {
  return static_cast<int64_t>(blocks_x()) * threads();
}

}  // namespace moshi::gpu
