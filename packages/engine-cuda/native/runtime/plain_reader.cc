#include "runtime/plain_reader.h"

#include <algorithm>
#include <cstring>

#include "core/aligned_memory.h"
#include "core/memory.h"
#include "runtime/repeat.h"

namespace moshi {

namespace {

constexpr int kPartsPerThread = 8;

}  // namespace

PlainReader::PlainReader(CpuBackend& backend, const Kernels& kernels, uint64_t bytes, bool one_thread)
    : backend_(backend),
      kernels_(kernels),
      one_thread_(one_thread),
      parts_((one_thread ? 1 : backend.threads()) * kPartsPerThread),
      part_(static_cast<int64_t>(std::min(bytes, available_memory() / 4)) / parts_ / 4096 * 4096),
      sums_(static_cast<size_t>(parts_)) {
  part_ = std::max<int64_t>(part_, 4096);
  const auto size = static_cast<size_t>(part_ * parts_);
  memory_ = aligned_memory(size);
  std::memset(memory_.get(), 1, size);
  pass();
}

double PlainReader::pass() {
  const auto read = [&](int64_t i) {
    sums_[static_cast<size_t>(i)] = kernels_.read_sum(memory_.get() + i * part_, part_);
  };
  const double ms = milliseconds([&] {
    if (!one_thread_) return backend_.each(parts_, read);
    for (int64_t i = 0; i < parts_; ++i) read(i);
  });
  return static_cast<double>(part_ * parts_) * 1000 / ms;
}

}  // namespace moshi
