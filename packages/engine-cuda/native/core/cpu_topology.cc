#include "core/cpu_topology.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "core/system.h"

namespace moshi {

namespace {

// More would wait for one another longer than they save: a few tens of cores saturate any memory.
constexpr int kMost = 64;
// Slower than this share of the fastest is the other kind of core, not the spread of one kind.
constexpr double kSameCapacity = 0.6, kSameFrequency = 0.8;

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::string text(1 << 16, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  return text;
}

std::optional<double> number(std::string_view text) {
  const std::string copy(text.substr(0, text.find_first_of(" \n")));
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  return copy.empty() || *end || !std::isfinite(value) ? std::nullopt : std::optional(value);
}

// The kernel's lists: "0-3,8,10-11".
std::set<int> cpu_list(const std::string& text) {
  constexpr int kMaxCpus = 1 << 16;
  std::set<int> cpus;
  std::istringstream ranges(text);
  for (std::string range; std::getline(ranges, range, ',');) {
    const size_t dash = range.find('-');
    const auto first = number(range), last = dash == std::string::npos ? first : number(range.substr(dash + 1));
    const auto begin = dash == std::string::npos ? first : number(range.substr(0, dash));
    if (!begin || !last || *begin < 0 || *last >= kMaxCpus) return {};
    for (int cpu = static_cast<int>(*begin); cpu <= static_cast<int>(*last); ++cpu) cpus.insert(cpu);
  }
  return cpus;
}

std::set<int> allowed_cpus(const std::string& root) {
  std::istringstream status(read(root + "/proc/self/status"));
  const std::string label = "Cpus_allowed_list:";
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(label)) {
      const size_t at = line.find_first_not_of(" \t", label.size());
      return at == std::string::npos ? std::set<int>() : cpu_list(line.substr(at));
    }
  return {};
}

// Folders with a cgroup's limits, from the process's own up to the root of its mount.
struct Cgroup {
  std::string mount, path;
  bool v2 = false;
};

bool lists(const std::string& commas, std::string_view name) {
  std::istringstream parts(commas);
  for (std::string part; std::getline(parts, part, ',');)
    if (part == name) return true;
  return false;
}

std::vector<Cgroup> cpu_cgroups(const std::string& root) {
  std::optional<std::string> v1, v2;
  std::istringstream own(read(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(own, line);) {
    const size_t a = line.find(':'), b = a == std::string::npos ? a : line.find(':', a + 1);
    if (b == std::string::npos) continue;
    const std::string controllers = line.substr(a + 1, b - a - 1);
    if (controllers.empty()) v2 = line.substr(b + 1);
    if (lists(controllers, "cpu")) v1 = line.substr(b + 1);
  }
  std::vector<Cgroup> out;
  std::istringstream mounts(read(root + "/proc/self/mountinfo"));
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string word, mounted, point, type, options;
    words >> word >> word >> word >> mounted >> point;
    while (words >> word && word != "-") {
    }
    words >> type >> word >> options;
    const bool is_v2 = type == "cgroup2";
    const auto& path = is_v2 ? v2 : v1;
    if (!path || !(is_v2 || (type == "cgroup" && lists(options, "cpu")))) continue;
    // Within a container the path may be the host's, of which the mount shows the end.
    std::string rest = *path;
    if (mounted != "/") rest = rest.starts_with(mounted) ? rest.substr(mounted.size()) : "";
    if (rest.find("..") != std::string::npos) rest.clear();
    out.push_back({root + point, rest, is_v2});
  }
  return out;
}

// CPUs' worth of time that one folder's cgroup may use; infinity when it sets no limit.
double cgroup_limit(const std::string& folder, bool v2) {
  std::optional<double> quota, period;
  if (v2) {
    const std::string text = read(folder + "/cpu.max");  // "max 100000" or "150000 100000"
    const size_t space = text.find(' ');
    if (space == std::string::npos) return std::numeric_limits<double>::infinity();
    quota = number(text), period = number(std::string_view(text).substr(space + 1));
  } else {
    quota = number(read(folder + "/cpu.cfs_quota_us")), period = number(read(folder + "/cpu.cfs_period_us"));
  }
  return quota && period && *quota > 0 && *period > 0 ? *quota / *period : std::numeric_limits<double>::infinity();
}

double time_limit(const std::string& root) {
  double limit = std::numeric_limits<double>::infinity();
  for (Cgroup group : cpu_cgroups(root))
    for (;;) {
      limit = std::min(limit, cgroup_limit(group.mount + group.path, group.v2));
      const size_t slash = group.path.rfind('/');
      if (slash == std::string::npos) break;
      group.path.resize(slash);
    }
  return limit;
}

std::string cpu_path(const std::string& root, int cpu) {
  return root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/";
}

// The cores of the faster kind: Intel names them, elsewhere they have a higher capacity or clock.
std::set<int> fast_cpus(const std::string& root, const std::set<int>& cpus) {
  std::set<int> fast;
  const std::set<int> named = cpu_list(read(root + "/sys/devices/cpu_core/cpus"));
  std::set_intersection(cpus.begin(), cpus.end(), named.begin(), named.end(), std::inserter(fast, fast.end()));
  if (!fast.empty()) return fast;
  for (const auto& [file, share] :
       {std::pair{"cpu_capacity", kSameCapacity}, {"cpufreq/cpuinfo_max_freq", kSameFrequency}}) {
    std::map<int, double> speeds;
    double best = 0;
    for (const int cpu : cpus)
      if (const auto speed = number(read(cpu_path(root, cpu) + file))) best = std::max(best, speeds[cpu] = *speed);
    if (speeds.size() != cpus.size()) continue;
    for (const auto& [cpu, speed] : speeds)
      if (speed >= share * best) fast.insert(cpu);
    if (fast.size() < cpus.size()) return fast;
    fast.clear();
  }
  return cpus;
}

int physical_cores(const std::string& root, const std::set<int>& cpus) {
  std::set<int> cores;
  for (const int cpu : cpus) {
    const std::set<int> siblings = cpu_list(read(cpu_path(root, cpu) + "topology/thread_siblings_list"));
    cores.insert(siblings.empty() ? cpu : *siblings.begin());
  }
  return static_cast<int>(cores.size());
}

}  // namespace

int suitable_threads(const std::string& root) {
  const std::set<int> cpus = allowed_cpus(root);
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency())), fast = cores;
  if (!cpus.empty()) {
    cores = physical_cores(root, cpus);
    fast = physical_cores(root, fast_cpus(root, cpus));
  } else if (const auto told = system::cores(); told && root.empty()) {
    cores = told->all, fast = told->fast;
  }
  const int allowed = static_cast<int>(std::clamp(time_limit(root), 1.0, static_cast<double>(cores)));
  return std::min({fast, allowed >= 4 ? allowed - 1 : allowed, kMost});
}

}  // namespace moshi
