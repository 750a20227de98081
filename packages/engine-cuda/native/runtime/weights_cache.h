// Weights quantized at load are written beside the model, so that the next start reads a file half the size or less and
// rounds nothing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "model/backend.h"
#include "model/precision.h"

namespace moshi {

struct WeightsCache {
  std::vector<std::string> folders;  // the first that can be written to is used; none: nothing is cached
  // While weights are quantized. Error(kClosed) out of it ends the work.
  std::function<void(uint64_t done, uint64_t total)> progress{};
};

// The file that holds `source` in that precision, made if need be; empty when no folder takes it, which is no error.
// schedule: as for open_weights.
std::string cached_weights(const std::string& source, const std::vector<int>& schedule, Precision precision,
                           const WeightsCache& cache, Backend& backend);

}  // namespace moshi
