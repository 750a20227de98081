// The yardstick on a CPU: a buffer that all threads do nothing but read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/cpu_backend.h"
#include "runtime/yardstick.h"

namespace moshi {

class PlainReader : public Yardstick {
 public:
  // A buffer of about `bytes`, less where the machine's memory does not bear it. One thread, or the backend's. Throws
  // Error when there is no memory.
  PlainReader(CpuBackend& backend, const Kernels& kernels, uint64_t bytes, bool one_thread = false);

  double pass() override;

 private:
  CpuBackend& backend_;
  const Kernels& kernels_;
  bool one_thread_;
  int64_t parts_, part_;
  std::shared_ptr<char> memory_;
  std::vector<int32_t> sums_;
};

}  // namespace moshi
