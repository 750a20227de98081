#include "files/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace moshi {

File::File(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw Error(kBadFile, path + ": cannot open: " + std::strerror(errno));
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    throw Error(kBadFile, path + ": is not a regular file");
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

File::~File() {
  ::close(descriptor_);
}

void File::read(uint64_t offset, void* out, uint64_t bytes) const {
  auto* at = static_cast<char*>(out);
  while (bytes > 0) {
    // One call may not exceed 2 GB on Linux.
    const size_t chunk = static_cast<size_t>(std::min<uint64_t>(bytes, uint64_t{1} << 30));
    const ssize_t got = ::pread(descriptor_, at, chunk, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(kBadFile, path_ + ": cannot read: " + std::strerror(errno));
    if (got == 0) throw Error(kBadFile, path_ + ": ends too early; download it again");
    at += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
}

std::string read_whole(const std::string& path, uint64_t limit) {
  const File file(path);
  if (file.size() > limit)
    throw Error(kBadFile, path + ": is " + std::to_string(file.size()) + " bytes, more than the " +
                              std::to_string(limit) + " this kind of file may have");
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  return text;
}

}  // namespace moshi
