// Reading files whole or by range, with errors that name the file.
#pragma once

#include <cstdint>
#include <string>

#include "core/system.h"

namespace moshi {

class File {
 public:
  explicit File(const std::string& path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  // Reads exactly `bytes` at `offset`; throws when the file ends before.
  void read(uint64_t offset, void* out, uint64_t bytes) const;

 private:
  std::string path_;
  system::FileHandle handle_;
  uint64_t size_ = 0;
};

// The whole file as bytes; refuses files larger than `limit`.
std::string read_whole(const std::string& path, uint64_t limit);

}  // namespace moshi
