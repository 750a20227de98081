#include "core/aligned_memory.h"

#include <algorithm>
#include <new>
#include <string>

#include "core/error.h"
#include "core/system.h"

namespace moshi {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

void out_of_memory(size_t bytes) {
  throw Error(kBadOption, "out of memory: " + std::to_string(bytes >> 20) + " MB could not be had");
}

std::shared_ptr<char> aligned_memory(size_t bytes) {
  const bool huge = bytes >= 2 * kHugePage;
  const size_t alignment = huge ? kHugePage : 64, size = (bytes + alignment - 1) / alignment * alignment;
  const auto aligned = static_cast<std::align_val_t>(alignment);
  auto* data = static_cast<char*>(::operator new(std::max(size, alignment), aligned, std::nothrow));
  if (!data) out_of_memory(bytes);
  if (huge) system::want_huge_pages(data, size);
  return {data, [aligned](char* p) { ::operator delete(p, aligned); }};
}

}  // namespace moshi
