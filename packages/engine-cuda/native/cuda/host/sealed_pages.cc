#include "cuda/host/sealed_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace moshi::gpu::host {

namespace {

// Of addresses, which cost nothing: none of them is given twice.
constexpr size_t kMost = size_t{1} << 38;

size_t whole(size_t bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

SealedPages::SealedPages() {
  void* at = ::mmap(nullptr, kMost, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  first_ = static_cast<std::byte*>(at);
}

SealedPages::~SealedPages() {
  ::munmap(first_, kMost);
}

std::byte* SealedPages::take(size_t bytes) {
  if (whole(bytes) > kMost - used_) throw std::bad_alloc();
  std::byte* out = first_ + used_;
  used_ += whole(bytes);
  return out;
}

void SealedPages::give(std::byte* pages, size_t bytes) {
  ::madvise(pages, whole(bytes), MADV_DONTNEED);
}

void SealedPages::protect(bool open) {
  if (::mprotect(first_, used_, open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) throw std::bad_alloc();
}

}  // namespace moshi::gpu::host
