#include "files/new_file.h"

#include <atomic>

#include "core/error.h"

namespace moshi {

namespace {

// Two writers in one process must not share a file either.
std::string partial_name(const std::string& path) {
  static std::atomic<int> count{0};
  return path + "." + std::to_string(system::process_id()) + "-" + std::to_string(count++) + ".partial";
}

}  // namespace

NewFile::NewFile(const std::string& path) : path_(path), partial_(partial_name(path)) {
  handle_ = system::create_file(partial_);
  if (handle_ == system::kNoFile) fail("cannot create");
}

NewFile::~NewFile() {
  if (handle_ == system::kNoFile) return;
  system::close_file(handle_);
  system::remove_file(partial_);
}

void NewFile::fail(const std::string& what) const {
  throw Error(kBadFile, path_ + ": " + what + ": " + system::failure());
}

void NewFile::write(const void* bytes, uint64_t count) {
  for (const auto* at = static_cast<const char*>(bytes); count > 0;) {
    const int64_t done = system::write_file(handle_, at, count);
    if (done < 0) fail("cannot write");
    at += done;
    count -= static_cast<uint64_t>(done);
  }
}

void NewFile::finish() {
  if (!system::sync_file(handle_)) fail("cannot write");
  // Windows replaces no file that is open.
  if (!system::move_file(partial_, path_)) fail("cannot take its place, close what has it open");
  system::close_file(handle_);
  handle_ = system::kNoFile;
}

}  // namespace moshi
