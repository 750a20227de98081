#include "runtime/plain_reader.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/error.h"
#include "core/memory.h"
#include "runtime/repeat.h"

namespace moshi {

namespace {

constexpr int kPartsPerThread = 8;
constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

PlainReader::PlainReader(CpuBackend& backend, const Kernels& kernels, uint64_t bytes, bool one_thread)
    : backend_(backend),
      kernels_(kernels),
      one_thread_(one_thread),
      parts_((one_thread ? 1 : backend.threads()) * kPartsPerThread),
      part_(static_cast<int64_t>(std::min(bytes, available_memory() / 4)) / parts_ / 4096 * 4096),
      memory_(nullptr, std::free),
      sums_(static_cast<size_t>(parts_)) {
  part_ = std::max<int64_t>(part_, 4096);
  const size_t size = (static_cast<size_t>(part_ * parts_) + kHugePage - 1) / kHugePage * kHugePage;
  memory_.reset(static_cast<char*>(std::aligned_alloc(kHugePage, size)));
  if (!memory_)
    throw Error(kBadOption, "out of memory: " + std::to_string(size >> 20) + " MB to read could not be had");
#if defined(__linux__)
  ::madvise(memory_.get(), size, MADV_HUGEPAGE);
#endif
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
