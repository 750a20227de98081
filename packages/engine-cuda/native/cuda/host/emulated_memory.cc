#include "cuda/host/emulated_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cuda/host/sanitizers.h"

namespace moshi::gpu::host {

namespace {

constexpr size_t kGuard = 256, kAlignment = 256;
constexpr std::byte kGuardByte{0xa5};
// A NaN, of floats as of halves.
constexpr int kGarbage = 0xff;

// Bytes from a block's start to the end of what lies behind it.
size_t guarded(size_t bytes) {
  return (bytes + kGuard - 1) / kGuard * kGuard + kGuard;
}

}  // namespace

void* EmulatedMemory::take(size_t bytes) {
  if (bytes == 0 || bytes > limit_ - used_) return nullptr;
  const size_t all = kAlignment + kGuard + guarded(bytes);
  auto owned = sealed_ ? nullptr : std::make_unique_for_overwrite<std::byte[]>(all);
  std::byte* storage = sealed_ ? sealed_->take(all) : owned.get();
  if (!storage) return nullptr;
  const auto opened = open();
  const auto first = reinterpret_cast<uintptr_t>(storage) + kGuard;
  auto* at = reinterpret_cast<std::byte*>((first + kAlignment - 1) / kAlignment * kAlignment);
  std::memset(at - kGuard, static_cast<int>(kGuardByte), kGuard + guarded(bytes));
  std::memset(at, kGarbage, bytes);
  ASAN_POISON_MEMORY_REGION(at - kGuard, kGuard);
  ASAN_POISON_MEMORY_REGION(at + bytes, guarded(bytes) - bytes);
  blocks_.emplace(at, Block{bytes, storage, std::move(owned)});
  used_ += bytes;
  return at;
}

std::string EmulatedMemory::give(void* memory) {
  const auto found = blocks_.find(static_cast<std::byte*>(memory));
  if (found == blocks_.end()) return "memory is freed that is not allocated";
  const auto& [at, block] = *found;
  const size_t bytes = block.bytes;
  const auto opened = open();
  ASAN_UNPOISON_MEMORY_REGION(at - kGuard, kGuard + guarded(bytes));
  const auto intact = [](std::byte b) { return b == kGuardByte; };
  const bool whole = std::all_of(at - kGuard, at, intact) && std::all_of(at + bytes, at + guarded(bytes), intact);
  std::memset(at, kGarbage, bytes);
  if (sealed_) SealedPages::give(block.storage, kAlignment + kGuard + guarded(bytes));
  used_ -= bytes;
  blocks_.erase(found);
  return whole ? "" : "something was written next to an allocation of " + std::to_string(bytes) + " bytes";
}

bool EmulatedMemory::holds(const void* at, size_t bytes) const {
  const auto* first = static_cast<const std::byte*>(at);
  auto after = blocks_.upper_bound(const_cast<std::byte*>(first));
  if (after == blocks_.begin()) return false;
  const auto& [start, block] = *--after;
  const auto offset = static_cast<size_t>(first - start);
  return offset <= block.bytes && bytes <= block.bytes - offset;
}

void EmulatedMemory::drop() {
  while (!blocks_.empty()) give(blocks_.begin()->first);
}

}  // namespace moshi::gpu::host
