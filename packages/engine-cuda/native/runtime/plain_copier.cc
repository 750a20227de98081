#include "runtime/plain_copier.h"

#include <algorithm>

#include "runtime/repeat.h"

namespace moshi {

namespace {

// Of a pass, so that the wait at its end is nothing beside them.
constexpr int kCopies = 8;

}  // namespace

void settle(Backend& backend, const Buffer& any) {
  float one;
  backend.read(&one, any.data(), 1);
}

PlainCopier::PlainCopier(Backend& backend, uint64_t bytes)
    : backend_(backend), from_(backend.allocate(std::max<size_t>(1, bytes / sizeof(float)))) {
  to_ = backend.allocate(from_.count());
  pass();
}

double PlainCopier::pass() {
  const size_t bytes = from_.count() * sizeof(float);
  settle(backend_, to_);
  const double ms = milliseconds([&] {
    for (int i = 0; i < kCopies; ++i) backend_.copy_bytes(to_.data(), from_.data(), bytes);
    settle(backend_, to_);
  });
  return 2.0 * kCopies * static_cast<double>(bytes) * 1000 / ms;
}

}  // namespace moshi
