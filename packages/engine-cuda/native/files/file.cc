#include "files/file.h"

#include "core/error.h"

namespace moshi {

File::File(const std::string& path) : path_(path) {
  handle_ = system::open_file(path);
  if (handle_ == system::kNoFile) throw Error(kBadFile, path + ": cannot open: " + system::failure());
  const auto size = system::file_size(handle_);
  if (!size) {
    system::close_file(handle_);
    throw Error(kBadFile, path + ": is not a regular file");
  }
  size_ = *size;
}

File::~File() {
  system::close_file(handle_);
}

void File::read(uint64_t offset, void* out, uint64_t bytes) const {
  auto* at = static_cast<char*>(out);
  while (bytes > 0) {
    const int64_t got = system::read_file(handle_, offset, at, bytes);
    if (got < 0) throw Error(kBadFile, path_ + ": cannot read: " + system::failure());
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
