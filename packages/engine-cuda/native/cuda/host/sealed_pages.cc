#include "cuda/host/sealed_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace moshi::gpu::host {

namespace {

size_t whole(size_t bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

SealedPages::SealedPages(size_t bytes) : bytes_(whole(bytes)) {
  void* at = ::mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  first_ = static_cast<std::byte*>(at);
}

SealedPages::~SealedPages() {
  ::munmap(first_, bytes_);
}

std::byte* SealedPages::take(size_t bytes) {
  if (whole(bytes) > bytes_ - used_) return nullptr;
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
