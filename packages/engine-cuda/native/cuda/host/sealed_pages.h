// Pages that nobody can touch but while they are open: the memory of a GPU as the host sees a real one's.
#pragma once

#include <cstddef>

namespace moshi::gpu::host {

class SealedPages {
 public:
  // bytes: all that it will ever give, of addresses, which cost nothing.
  explicit SealedPages(size_t bytes);
  ~SealedPages();
  SealedPages(const SealedPages&) = delete;
  SealedPages& operator=(const SealedPages&) = delete;

  // Whole pages that were never given before, sealed; null when none are left.
  std::byte* take(size_t bytes);
  // Lets go of what lies in them.
  static void give(std::byte* pages, size_t bytes);

  // All pages there are, as long as one of these lives. None: nothing to open.
  class Open {
   public:
    explicit Open(SealedPages* pages) : pages_(pages) {
      if (pages_ && pages_->opened_++ == 0) pages_->protect(true);
    }
    ~Open() {
      if (pages_ && --pages_->opened_ == 0) pages_->protect(false);
    }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    SealedPages* pages_;
  };

 private:
  void protect(bool open);

  std::byte* first_;
  size_t bytes_, used_ = 0;
  int opened_ = 0;
};

}  // namespace moshi::gpu::host
