// How launches of norms are made; the same on host and GPU.
#pragma once

namespace moshi {

// Of a block, which has one row: a few columns each. In which order a row is summed depends on it.
constexpr int norm_threads(int dim) {
  const int warps = (dim + 127) / 128;
  return 32 * (warps < 1 ? 1 : warps > 32 ? 32 : warps);
}

}  // namespace moshi
