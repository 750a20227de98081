#include "core/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/system.h"

namespace moshi {

namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// The number behind `label` in a file of labelled lines; `fallback` when there is none.
uint64_t labelled(const std::string& path, const std::string& label, uint64_t fallback) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    uint64_t value = 0;
    if (words >> word && word == label && words >> value) return value;
  }
  return fallback;
}

// A file of one number; "max" and files that are not there are `fallback`.
uint64_t number(const std::string& path, uint64_t fallback) {
  std::ifstream file(path);
  uint64_t value = 0;
  return file >> value ? value : fallback;
}

// What a cgroup's folder leaves; what is only cached of files does not count as taken.
uint64_t left_in(const std::string& folder, bool v2) {
  const uint64_t limit = number(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes"), kUnlimited);
  if (limit == kUnlimited) return kUnlimited;
  const uint64_t taken = number(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes"), 0);
  const uint64_t cached = labelled(folder + "/memory.stat", v2 ? "inactive_file" : "total_inactive_file", 0);
  const uint64_t held = taken - std::min(taken, cached);
  return limit - std::min(limit, held);
}

uint64_t left_in_cgroups(const std::string& root) {
  uint64_t left = kUnlimited;
  std::ifstream own(root + "/proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    const size_t a = line.find(':'), b = a == std::string::npos ? a : line.find(':', a + 1);
    if (b == std::string::npos) continue;
    const std::string controllers = line.substr(a + 1, b - a - 1);
    if (!controllers.empty() && controllers != "memory") continue;
    const bool v2 = controllers.empty();
    const std::string mount = root + "/sys/fs/cgroup" + (v2 ? "" : "/memory");
    // Within a container the path may be the host's and lead nowhere; the mount's root is then the process's own.
    for (std::string path = line.substr(b + 1);;) {
      if (path.find("..") == std::string::npos) left = std::min(left, left_in(mount + path, v2));
      const size_t slash = path.rfind('/');
      if (slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return left;
}

}  // namespace

uint64_t available_memory(const std::string& root) {
  if (const auto told = system::available_memory(); told && root.empty()) return *told;
  const uint64_t kilobytes = labelled(root + "/proc/meminfo", "MemAvailable:", kUnlimited / 1024);
  return std::min(kilobytes * 1024, left_in_cgroups(root));
}

uint64_t resident_memory() {
  return labelled("/proc/self/status", "VmRSS:", 0) * 1024;
}

uint64_t peak_memory() {
  return labelled("/proc/self/status", "VmHWM:", 0) * 1024;
}

bool reset_peak_memory() {
  std::ofstream file("/proc/self/clear_refs");
  return static_cast<bool>(file << 5 << std::flush);
}

}  // namespace moshi
