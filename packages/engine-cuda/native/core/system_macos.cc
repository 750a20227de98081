// What macOS has of its own.
#include <mach/mach.h>
#include <sys/stat.h>
#include <sys/sysctl.h>

#include "core/system.h"

namespace moshi::system {

namespace {

std::optional<int> number(const char* name) {
  int value = 0;
  size_t bytes = sizeof value;
  if (::sysctlbyname(name, &value, &bytes, nullptr, 0) != 0 || value < 1) return std::nullopt;
  return value;
}

}  // namespace

// There is no such driver for any macOS this runs on.
const char* const kCudaLibrary = "libcuda.dylib";
const char* const kNvmlLibrary = "libnvidia-ml.dylib";

std::optional<FileStamp> file_stamp(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileStamp{static_cast<uint64_t>(info.st_size), info.st_mtimespec.tv_sec, info.st_mtimespec.tv_nsec};
}

std::optional<Cores> cores() {
  const auto all = number("hw.physicalcpu");
  if (!all) return std::nullopt;
  // Level 0 is of the performance cores; Intel's machines have no levels.
  return Cores{*all, number("hw.perflevel0.physicalcpu").value_or(*all)};
}

bool has_dot_product() {
  return true;  // every Apple chip since the M1
}

std::optional<uint64_t> available_memory() {
  vm_statistics64_data_t pages{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  const mach_port_t host = ::mach_host_self();
  const kern_return_t asked =
      ::host_statistics64(host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages), &count);
  ::mach_port_deallocate(::mach_task_self(), host);
  if (asked != KERN_SUCCESS) return std::nullopt;
  // What is inactive or purgeable is given up before anything is swapped out.
  return (uint64_t{pages.free_count} + pages.inactive_count + pages.purgeable_count) * ::vm_kernel_page_size;
}

void want_huge_pages(void*, size_t) {}

}  // namespace moshi::system
