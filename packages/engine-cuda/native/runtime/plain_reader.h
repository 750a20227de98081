// The yardstick of whatever is bound by memory: a buffer that all threads do nothing but read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/cpu_backend.h"

namespace moshi {

class PlainReader {
 public:
  // A buffer of about `bytes`, less where the machine's memory does not bear it. One thread, or the backend's. Throws
  // Error when there is no memory.
  PlainReader(CpuBackend& backend, const Kernels& kernels, uint64_t bytes, bool one_thread = false);

  // Reads all of it once: bytes a second.
  double pass();

 private:
  CpuBackend& backend_;
  const Kernels& kernels_;
  bool one_thread_;
  int64_t parts_, part_;
  std::unique_ptr<char, void (*)(void*)> memory_;
  std::vector<int32_t> sums_;
};

// How fast something is beside reading right before and right after it: on a machine that others use too, the middle
// one of such ratios holds where speeds do not.
class Beside {
 public:
  explicit Beside(PlainReader& reader) : reader_(reader), before_(reader.pass()) {}
  // Reading, at the middle of both.
  double reading() { return 2 / (1 / before_ + 1 / reader_.pass()); }

 private:
  PlainReader& reader_;
  double before_;
};

}  // namespace moshi
