// Memory for what is read from end to end: aligned for whole vectors, in huge pages where the system has them.
#pragma once

#include <cstddef>
#include <memory>

namespace moshi {

// As it comes: nothing is written to it. Throws Error(kBadOption) when there is none left.
std::shared_ptr<char> aligned_memory(size_t bytes);

// For what could not be allocated.
[[noreturn]] void out_of_memory(size_t bytes);

}  // namespace moshi
