#include "cuda/host/shared_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cuda/host/sanitizers.h"

namespace moshi::gpu::host {

namespace {

constexpr size_t kGuard = 128, kAlignment = 128;
constexpr std::byte kGuardByte{0xa5}, kFresh{0xff};

size_t padded(size_t bytes) {
  return (bytes + kGuard - 1) / kGuard * kGuard + kGuard;
}

}  // namespace

std::byte* SharedMemory::Array::data() const {
  const auto at = reinterpret_cast<uintptr_t>(memory.get()) + kGuard;
  return reinterpret_cast<std::byte*>((at + kAlignment - 1) / kAlignment * kAlignment);
}

SharedMemory::~SharedMemory() {
  for (Array& a : arrays_) ASAN_UNPOISON_MEMORY_REGION(a.data() - kGuard, kGuard + padded(a.bytes));
}

void SharedMemory::fill(Array& a) {
  std::byte* data = a.data();
  ASAN_UNPOISON_MEMORY_REGION(data - kGuard, kGuard + padded(a.bytes));
  std::memset(data - kGuard, static_cast<int>(kGuardByte), kGuard + padded(a.bytes));
  std::memset(data, static_cast<int>(kFresh), a.bytes);
  ASAN_POISON_MEMORY_REGION(data - kGuard, kGuard);
  ASAN_POISON_MEMORY_REGION(data + a.bytes, padded(a.bytes) - a.bytes);
}

void* SharedMemory::array(const char* site, const char* name, size_t bytes) {
  const auto found = std::find_if(arrays_.begin(), arrays_.end(), [&](const Array& a) { return a.site == site; });
  if (found == arrays_.end()) {
    auto memory = std::make_unique_for_overwrite<std::byte[]>(kAlignment + kGuard + padded(bytes));
    arrays_.push_back({site, name, bytes, true, std::move(memory)});
    fill(arrays_.back());
    return arrays_.back().data();
  }
  found->used = true;
  return found->data();
}

void SharedMemory::clear() {
  for (Array& a : arrays_) {
    fill(a);
    a.used = false;
  }
}

const char* SharedMemory::overrun() const {
  for (const Array& a : arrays_) {
    const std::byte* data = a.data();
    ASAN_UNPOISON_MEMORY_REGION(data - kGuard, kGuard + padded(a.bytes));
    const auto intact = [](std::byte b) { return b == kGuardByte; };
    const bool whole =
        std::all_of(data - kGuard, data, intact) && std::all_of(data + a.bytes, data + padded(a.bytes), intact);
    if (!whole) return a.name;
  }
  return nullptr;
}

size_t SharedMemory::bytes() const {
  size_t total = 0;
  for (const Array& a : arrays_)
    if (a.used) total += (a.bytes + 15) / 16 * 16;
  return total;
}

}  // namespace moshi::gpu::host
