// The driver's table, which images a card takes, and what happens when any call of the driver fails.
#include "tests/check_gpu_driver.h"

#include "cuda/host/emulated_driver.h"
#include "tests/checks.h"

namespace moshi {

void check_gpu_driver() {
  const gpu::host::StandInKernels kernels;
  check_gpu_card(kernels.folder());
}

}  // namespace moshi
