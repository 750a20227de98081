#include <windows.h>

#include <new>

#include "cuda/host/sealed_pages.h"

namespace moshi::gpu::host {

namespace {

size_t whole(size_t bytes) {
  SYSTEM_INFO system;
  GetSystemInfo(&system);
  return (bytes + system.dwPageSize - 1) / system.dwPageSize * system.dwPageSize;
}

}  // namespace

SealedPages::SealedPages(size_t bytes) : bytes_(whole(bytes)) {
  first_ = static_cast<std::byte*>(VirtualAlloc(nullptr, bytes_, MEM_RESERVE, PAGE_NOACCESS));
  if (!first_) throw std::bad_alloc();
}

SealedPages::~SealedPages() {
  VirtualFree(first_, 0, MEM_RELEASE);
}

std::byte* SealedPages::take(size_t bytes) {
  if (whole(bytes) > bytes_ - used_) return nullptr;
  std::byte* out = first_ + used_;
  if (!VirtualAlloc(out, whole(bytes), MEM_COMMIT, PAGE_NOACCESS)) return nullptr;
  used_ += whole(bytes);
  return out;
}

// They stay committed, since protect() takes all pages there are.
void SealedPages::give(std::byte* pages, size_t bytes) {
  VirtualAlloc(pages, whole(bytes), MEM_RESET, PAGE_NOACCESS);
}

void SealedPages::protect(bool open) {
  DWORD before;
  if (used_ > 0 && !VirtualProtect(first_, used_, open ? PAGE_READWRITE : PAGE_NOACCESS, &before))
    throw std::bad_alloc();
}

}  // namespace moshi::gpu::host
