// What the operating system gives. Which one it is, only the Makefile asks: system_posix.cc goes with system_linux.cc
// or system_macos.cc, system_windows.cc alone. Text and paths are UTF-8 everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace moshi::system {

// Why the last of the calls below that can fail did so, in the system's words.
std::string failure();

using FileHandle = intptr_t;
inline constexpr FileHandle kNoFile = -1;

// To read; kNoFile when it fails.
FileHandle open_file(const std::string& path);
// To write, empty, and never through a link; kNoFile when it fails.
FileHandle create_file(const std::string& path);
void close_file(FileHandle file);
// Bytes of a regular file; none for whatever else has a name.
std::optional<uint64_t> file_size(FileHandle file);
// Bytes that were read or written, at most `most` and a gigabyte; -1 when it fails, 0 at the file's end.
int64_t read_file(FileHandle file, uint64_t offset, void* out, uint64_t most);
int64_t write_file(FileHandle file, const void* bytes, uint64_t most);
// What was written is on the disk; false when it fails.
bool sync_file(FileHandle file);
// In one step, in place of what had that name; a file that is open may be moved too. False when it fails.
bool move_file(const std::string& from, const std::string& to);
void remove_file(const std::string& path);

struct FileStamp {
  uint64_t bytes;
  int64_t seconds, nanoseconds;  // of its last change
};
std::optional<FileStamp> file_stamp(const std::string& path);

// A shared library, which is never closed; null where it cannot be opened.
void* open_library(const std::string& name);
void* find_function(void* library, const char* name);
// NVIDIA's own: the driver, and what manages its cards.
extern const char* const kCudaLibrary;
extern const char* const kNvmlLibrary;

// Empty where it is not set.
std::string environment(const char* name);
uint32_t process_id();

struct Cores {
  int all, fast;  // fast: of the faster kind where there are two
};
// Those the process may use; none where files below /proc and /sys tell.
std::optional<Cores> cores();
// Whether arm64's dot product and half floats are there.
bool has_dot_product();

// Bytes; none where files below /proc tell.
std::optional<uint64_t> available_memory();
// Memory that is read from end to end is better in large pages.
void want_huge_pages(void* memory, size_t bytes);

}  // namespace moshi::system
