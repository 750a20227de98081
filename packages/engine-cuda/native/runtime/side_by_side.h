// Work on several conversations that do not need each other.
#pragma once

#include <exception>
#include <functional>
#include <vector>

#include "model/backend.h"

namespace moshi {

// Calls task(i) for i below count: beside one another where there is enough of them for the threads, else one after the
// other, each on all threads. All are done when the first failure is thrown.
inline void side_by_side(Backend& backend, int threads, size_t count, const std::function<void(size_t)>& task) {
  if (2 * count < static_cast<size_t>(threads)) {
    for (size_t i = 0; i < count; ++i) task(i);
    return;
  }
  std::vector<std::exception_ptr> failures(count);
  backend.each(static_cast<int64_t>(count), [&](int64_t i) {
    try {
      task(static_cast<size_t>(i));
    } catch (...) {
      failures[static_cast<size_t>(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace moshi
