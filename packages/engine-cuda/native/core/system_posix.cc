// What Linux and macOS have in common.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/system.h"

namespace moshi::system {

namespace {

// Linux reads and writes less than 2 GB in one call.
constexpr uint64_t kMostBytes = uint64_t{1} << 30;

template <typename Call>
int64_t uninterrupted(Call call) {
  for (;;)
    if (const int64_t done = call(); done >= 0 || errno != EINTR) return done;
}

}  // namespace

std::string failure() {
  return std::strerror(errno);
}

FileHandle open_file(const std::string& path) {
  return ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
}

FileHandle create_file(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
}

void close_file(FileHandle file) {
  ::close(static_cast<int>(file));
}

std::optional<uint64_t> file_size(FileHandle file) {
  struct stat info {};
  if (::fstat(static_cast<int>(file), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(info.st_size);
}

int64_t read_file(FileHandle file, uint64_t offset, void* out, uint64_t most) {
  const auto bytes = static_cast<size_t>(std::min(most, kMostBytes));
  return uninterrupted([&] { return ::pread(static_cast<int>(file), out, bytes, static_cast<off_t>(offset)); });
}

int64_t write_file(FileHandle file, const void* bytes, uint64_t most) {
  const auto count = static_cast<size_t>(std::min(most, kMostBytes));
  return uninterrupted([&] { return ::write(static_cast<int>(file), bytes, count); });
}

bool sync_file(FileHandle file) {
  return ::fsync(static_cast<int>(file)) == 0;
}

bool move_file(const std::string& from, const std::string& to) {
  return std::rename(from.c_str(), to.c_str()) == 0;
}

void remove_file(const std::string& path) {
  ::unlink(path.c_str());
}

void* open_library(const std::string& name) {
  return ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
}

void* find_function(void* library, const char* name) {
  return ::dlsym(library, name);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

uint32_t process_id() {
  return static_cast<uint32_t>(::getpid());
}

}  // namespace moshi::system
