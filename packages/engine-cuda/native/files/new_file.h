// A file that is written from its beginning to its end and appears under its name only when it is whole.
#pragma once

#include <cstdint>
#include <string>

#include "core/system.h"

namespace moshi {

class NewFile {
 public:
  // An existing file is replaced by finish(). Throws Error(kBadFile) when the disk does not take it.
  explicit NewFile(const std::string& path);
  // Without finish() nothing is left behind.
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  const std::string& path() const { return path_; }
  void write(const void* bytes, uint64_t count);
  // Puts the file in its place.
  void finish();

 private:
  [[noreturn]] void fail(const std::string& what) const;

  std::string path_, partial_;
  system::FileHandle handle_;
};

}  // namespace moshi
