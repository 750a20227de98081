// The least that a cooperative launch can do: whether a GPU and its driver have them is known when it has run.
#include "cuda/gpu.h"

namespace moshi {

GPU_KERNEL(gpu::kWarp) meet_once(gpu::GridMeeting* meeting) {
  gpu::grid_barrier(meeting);
}

}  // namespace moshi
