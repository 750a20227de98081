// What Linux has of its own. Cores and memory are told by files, see cpu_topology.cc and memory.cc.
#include <sys/mman.h>
#include <sys/stat.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "core/system.h"

namespace moshi::system {

const char* const kCudaLibrary = "libcuda.so.1";
const char* const kNvmlLibrary = "libnvidia-ml.so.1";

std::optional<FileStamp> file_stamp(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileStamp{static_cast<uint64_t>(info.st_size), info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

std::optional<Cores> cores() {
  return std::nullopt;
}

bool has_dot_product() {
#if defined(__aarch64__)
  constexpr unsigned long kNeeded = HWCAP_ASIMDDP | HWCAP_FPHP | HWCAP_ASIMDHP;
  return (getauxval(AT_HWCAP) & kNeeded) == kNeeded;
#else
  return false;
#endif
}

std::optional<uint64_t> available_memory() {
  return std::nullopt;
}

void want_huge_pages(void* memory, size_t bytes) {
  ::madvise(memory, bytes, MADV_HUGEPAGE);
}

}  // namespace moshi::system
