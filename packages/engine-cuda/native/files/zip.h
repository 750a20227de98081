// Zip archives whose members are stored as they are, as torch writes them: the central directory, zip64 included, every
// field checked. Nothing is ever unpacked, so names are only compared and no member can be larger than the file.
#pragma once

#include <map>
#include <string>

#include "files/file.h"

namespace moshi {

class Zip {
 public:
  struct Member {
    uint64_t offset;  // of the first byte in the file
    uint64_t bytes;
  };

  // True when the file begins like an archive.
  static bool recognizes(const File& file);
  // Throws Error(kBadFile) on anything broken, compressed, encrypted or ambiguous, naming the member. The file must
  // outlive this.
  explicit Zip(const File& file);

  const std::map<std::string, Member>& members() const { return members_; }
  // The member's bytes; refuses one larger than `limit`.
  std::string read(const std::string& name, uint64_t limit) const;

 private:
  struct Directory {
    uint64_t offset, bytes, entries;
  };
  Directory find_directory() const;
  void read_directory(const Directory& directory);

  const File& file_;
  std::map<std::string, Member> members_;
};

}  // namespace moshi
