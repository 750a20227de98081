// Memory of an emulated GPU, or page-locked memory of the host: every allocation apart from all others, between guards.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "cuda/host/sealed_pages.h"

namespace moshi::gpu::host {

class EmulatedMemory {
 public:
  // sealed: the host cannot touch it but while it is open; places are not given twice, and 16 times the limit is all.
  explicit EmulatedMemory(size_t limit, bool sealed = false)
      : limit_(limit), sealed_(sealed ? std::make_unique<SealedPages>(16 * limit) : nullptr) {}
  ~EmulatedMemory() { drop(); }

  // 256-byte aligned, and full of NaNs; null when that exceeds the limit.
  void* take(size_t bytes);
  // Empty, or what is wrong: not an allocation, or something was written next to it.
  std::string give(void* memory);
  // Whether all of these bytes lie in one allocation.
  bool holds(const void* at, size_t bytes) const;

  [[nodiscard]] SealedPages::Open open() const { return SealedPages::Open(sealed_.get()); }

  size_t used() const { return used_; }
  size_t limit() const { return limit_; }
  size_t count() const { return blocks_.size(); }
  // Gives everything back.
  void drop();

 private:
  struct Block {
    size_t bytes;
    std::byte* storage;
    std::unique_ptr<std::byte[]> owned;  // the same, where it is not sealed
  };
  std::map<std::byte*, Block> blocks_;
  size_t limit_, used_ = 0;
  std::unique_ptr<SealedPages> sealed_;
};

}  // namespace moshi::gpu::host
