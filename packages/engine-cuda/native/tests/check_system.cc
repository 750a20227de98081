// What the operating system gives: files by names in any script and beyond 4 GB, libraries, cores and memory.
#include "core/system.h"

#include <fstream>
#include <thread>

#include "core/aligned_memory.h"
#include "core/cpu_topology.h"
#include "core/memory.h"
#include "cuda/library.h"
#include "files/file.h"
#include "files/new_file.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

namespace fs = std::filesystem;

size_t files_named_like(const fs::path& path) {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(path.parent_path()))
    count += utf8(entry.path().filename()).starts_with(utf8(path.filename()));
  return count;
}

void check_new_files() {
  const TemporaryFile file("as it was, and longer");
  // No line of it may be ended otherwise than it is.
  const std::string text("one\ntwo\r\n\0\x1a three", 18);
  {
    NewFile written(file.path());
    written.write(text.data(), text.size());
    expect(files_named_like(path_of(file.path())) == 2 && read_whole(file.path(), 100) == "as it was, and longer",
           "files: what is being written has a name of its own, beside");
    written.finish();
  }
  expect(read_whole(file.path(), 100) == text && files_named_like(path_of(file.path())) == 1,
         "files: what is written takes the place of what was there, byte for byte");
  { NewFile(file.path()).write("x", 1); }
  expect(read_whole(file.path(), 100) == text && files_named_like(path_of(file.path())) == 1,
         "files: what is not finished leaves nothing behind");
  expect(refusal([] { NewFile("/nonexistent/file"); }).starts_with("/nonexistent/file: cannot create: "),
         "files: where nothing can be written, the error says why");
}

void check_reading() {
  const TemporaryFile file("0123456789");
  const File open(file.path());
  std::string part(4, ' ');
  open.read(3, part.data(), part.size());
  expect(open.size() == 10 && part == "3456", "files: a part is read");
  expect(refusal([&] { open.read(8, part.data(), 4); }).ends_with("ends too early; download it again"),
         "files: none is read beyond the end");
  const std::string missing = refusal([&] { File(file.path() + "-none"); });
  expect(missing.starts_with(file.path() + "-none: cannot open: ") && missing.size() > file.path().size() + 25,
         "files: for one that is missing the error says why");
  expect(refused([&] { File(utf8(path_of(file.path()).parent_path())); }), "files: folders are none");
}

// Its middle takes no room on most disks.
void check_large() {
  const TemporaryFile file;
  const uint64_t at = (uint64_t{1} << 32) + 5;
  {
    std::ofstream out(path_of(file.path()), std::ios::binary);
    out.seekp(static_cast<std::streamoff>(at));
    out << "end";
  }
  const File open(file.path());
  std::string end(3, ' ');
  open.read(at, end.data(), 3);
  const auto stamp = system::file_stamp(file.path());
  expect(open.size() == at + 3 && end == "end" && stamp && stamp->bytes == at + 3, "files: beyond 4 GB");
}

void check_stamps() {
  namespace chrono = std::chrono;
  const TemporaryFile file("x");
  const fs::path path = path_of(file.path());
  fs::last_write_time(path, fs::file_time_type(chrono::file_clock::from_sys(chrono::sys_time<chrono::nanoseconds>(
                                chrono::seconds(1'700'000'000) + chrono::nanoseconds(123'456'700)))));
  const auto stamp = system::file_stamp(file.path());
  // What the file system keeps of it; the standard library sets whole seconds on Windows.
  const auto kept = chrono::file_clock::to_sys(fs::last_write_time(path)).time_since_epoch() % chrono::seconds(1);
  expect(stamp && stamp->bytes == 1 && stamp->seconds == 1'700'000'000 &&
             stamp->nanoseconds == chrono::nanoseconds(kept).count(),
         "files: the time of the last change, since 1970");
  expect(!system::file_stamp(file.path() + "-none"), "files: what is missing has no stamp");
}

void check_machine() {
  const Library none("moshi-no-such-library"), driver(system::kCudaLibrary);
  int (*function)(unsigned) = nullptr;
  none.find(function, "cuInit");
  expect(!none && !function, "libraries: one that is missing has no functions");
  driver.find(function, "moshi_no_such_function", "cuInit");
  expect(static_cast<bool>(driver) == (function != nullptr), "libraries: the first function that is there is found");
  const int logical = static_cast<int>(std::thread::hardware_concurrency());
  const auto cores = system::cores();
  expect(!cores || (cores->fast >= 1 && cores->all >= cores->fast && cores->all <= logical),
         "system: cores are no more than processors, and one is of the fast kind");
  expect(suitable_threads() >= 1 && suitable_threads() <= logical, "system: no more threads than processors");
  const uint64_t available = available_memory();
  expect(available >= uint64_t{1} << 24 && available < uint64_t{1} << 50, "system: how much memory is left is told");
  for (const size_t bytes : {size_t{1}, size_t{100}, size_t{9} << 20}) {
    const auto memory = aligned_memory(bytes);
    memory.get()[bytes - 1] = 1;
    expect(reinterpret_cast<uintptr_t>(memory.get()) % 64 == 0, "system: memory is aligned for whole vectors");
  }
}

}  // namespace

void check_system() {
  check_new_files();
  check_reading();
  check_large();
  check_stamps();
  check_machine();
}

}  // namespace moshi
