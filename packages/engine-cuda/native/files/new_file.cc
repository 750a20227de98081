#include "files/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.h"

namespace moshi {

namespace {

// Two writers in one process must not share a file either.
std::string partial_name(const std::string& path) {
  static std::atomic<int> count{0};
  return path + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".partial";
}

}  // namespace

NewFile::NewFile(const std::string& path) : path_(path), partial_(partial_name(path)) {
  descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot create");
}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(partial_.c_str());
}

void NewFile::fail(const std::string& what) const {
  throw Error(kBadFile, path_ + ": " + what + ": " + std::strerror(errno));
}

void NewFile::write(const void* bytes, uint64_t count) {
  for (const auto* at = static_cast<const char*>(bytes); count > 0;) {
    const ssize_t done = ::write(descriptor_, at, static_cast<size_t>(std::min<uint64_t>(count, uint64_t{1} << 30)));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("cannot write");
    at += done;
    count -= static_cast<uint64_t>(done);
  }
}

void NewFile::finish() {
  if (::fsync(descriptor_) != 0 || ::rename(partial_.c_str(), path_.c_str()) != 0) fail("cannot write");
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace moshi
