// Runs kernels on fibers: blocks one after the other, or all at once where they wait for each other. What a GPU would
// answer with a hang or with garbage is an exception here.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/function_ref.h"

namespace moshi::gpu::host {

// A kernel broke a rule: names the kernel, the block, the thread and the line.
class GpuFault : public Error {
 public:
  explicit GpuFault(const std::string& message) : Error("ENGINE_GPU_FAULT", message) {}
};

struct Grid {
  int x = 1, y = 1, z = 1;
};

// Who goes first, among blocks and among threads. A result that depends on it is a race.
struct Order {
  enum Kind : uint8_t { Forward, Reverse, Random } kind = Forward;
  uint64_t seed = 0;
};

struct Launch {
  const char* kernel;  // its name, for messages
  Grid grid = {};
  int threads = 32;         // of a block
  size_t shared_bytes = 0;  // behind dynamic_shared()
  Order order = {};
  bool cooperative = false;         // all blocks are there at once, so that they may wait for one another
  size_t shared_limit = 48 * 1024;  // what every GPU gives unasked
};

// Throws GpuFault, or what the kernel threw.
void run(const Launch& how, FunctionRef<void()> thread);

template <typename... Parameters, typename... Arguments>
void launch(const Launch& how, void (*kernel)(Parameters...), const Arguments&... arguments) {
  run(how, [&] { kernel(arguments...); });
}

}  // namespace moshi::gpu::host
