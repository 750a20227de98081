// How many threads are taken, on machines made of files.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include "core/cpu_topology.h"
#include "tests/checks.h"

namespace moshi {

namespace {

namespace fs = std::filesystem;

// A /proc and a /sys in a folder of their own.
class Machine {
 public:
  explicit Machine(const std::string& allowed)
      : root_(fs::temp_directory_path() / ("moshi-check-machine-" + std::to_string(std::random_device{}()))) {
    write("/proc/self/status", "Name:\tcheck\nCpus_allowed:\tff\nCpus_allowed_list:\t" + allowed + "\nThreads:\t1\n");
  }
  ~Machine() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  Machine& write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path.substr(1)).parent_path());
    std::ofstream(root_ / path.substr(1)) << text;
    return *this;
  }
  Machine& cpu(int index, const std::string& file, const std::string& text) {
    return write("/sys/devices/system/cpu/cpu" + std::to_string(index) + "/" + file, text + "\n");
  }
  // count CPUs from first on, two of them a core.
  Machine& pairs(int first, int count) {
    for (int i = first; i < first + count; ++i) {
      const int low = first + (i - first) / 2 * 2;
      cpu(i, "topology/thread_siblings_list", std::to_string(low) + "-" + std::to_string(low + 1));
    }
    return *this;
  }
  Machine& cgroups(const std::string& own, const std::string& mounts) {
    return write("/proc/self/cgroup", own).write("/proc/self/mountinfo", mounts);
  }
  int threads() const { return suitable_threads(root_.string()); }

 private:
  fs::path root_;
};

void check_cores() {
  expect(Machine("0").threads() == 1, "topology: one CPU, one thread");
  expect(Machine("0-2").threads() == 3, "topology: three CPUs of which nothing is known are three cores");
  expect(Machine("0-7").threads() == 7, "topology: of eight cores one is left to the rest of the program");
  expect(Machine("0-7").pairs(0, 8).threads() == 3, "topology: hyper-threads are no cores");
  expect(Machine("1-4,7").pairs(0, 8).threads() == 3, "topology: only cores that may be used count");
  expect(Machine("0-1").pairs(0, 2).threads() == 1, "topology: one core in two threads is one");
  Machine split("0-7");  // the numbering of most desktop machines: 0 and 4 share a core
  for (int i = 0; i < 8; ++i)
    split.cpu(i, "topology/thread_siblings_list", std::to_string(i % 4) + "," + std::to_string(i % 4 + 4));
  expect(split.threads() == 3, "topology: siblings far apart");
  expect(Machine("0-255").threads() == 64, "topology: no more threads than help");
  for (const char* bad : {"", "x", "0-", "9999999", "3-1", "0-999999999999"}) {
    const int threads = Machine(bad).threads();
    expect(threads >= 1 && threads <= 64, std::string("topology: a list of '") + bad + "' does no harm");
  }
}

void check_hybrid() {
  Machine intel("0-19");  // 6 fast cores in 12 threads, 8 others
  intel.pairs(0, 12).write("/sys/devices/cpu_core/cpus", "0-11\n").write("/sys/devices/cpu_atom/cpus", "12-19\n");
  expect(intel.threads() == 6, "topology: the fast cores of a hybrid CPU; a slow one stays free");
  Machine slow("12-19");
  slow.write("/sys/devices/cpu_core/cpus", "0-11\n");
  expect(slow.threads() == 7, "topology: slow cores when there are no others");
  Machine arm("0-7");
  for (int i = 0; i < 8; ++i) arm.cpu(i, "cpu_capacity", i < 4 ? "250" : i < 7 ? "870" : "1024");
  expect(arm.threads() == 4, "topology: big and biggest cores by capacity");
  Machine clocks("0-7");
  for (int i = 0; i < 8; ++i)
    clocks.cpu(i, "cpu_capacity", "1024").cpu(i, "cpufreq/cpuinfo_max_freq", i < 4 ? "5100000" : "3300000");
  expect(clocks.threads() == 4, "topology: fast cores by clock");
  Machine boost("0-7");
  for (int i = 0; i < 8; ++i) boost.cpu(i, "cpufreq/cpuinfo_max_freq", i < 2 ? "5700000" : "5400000");
  expect(boost.threads() == 7, "topology: cores that boost a little less are of the same kind");
  Machine unknown("0-3");
  unknown.cpu(0, "cpu_capacity", "100");
  expect(unknown.threads() == 3, "topology: half an answer is none");
}

void check_limits() {
  const std::string v2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
  const auto with = [&](const std::string& own, const std::string& mounts, auto... files) {
    Machine machine("0-15");
    machine.cgroups(own, mounts);
    const std::pair<std::string, std::string> all[] = {files...};
    for (const auto& [path, text] : all) machine.write("/sys/fs/cgroup" + path, text);
    return machine.threads();
  };
  using File = std::pair<std::string, std::string>;
  expect(with("0::/\n", v2, File("/cpu.max", "max 100000\n")) == 15, "cgroup v2: no limit");
  expect(with("0::/\n", v2, File("/cpu.max", "200000 100000\n")) == 2, "cgroup v2: two CPUs");
  expect(with("0::/\n", v2, File("/cpu.max", "350000 100000\n")) == 3, "cgroup v2: three and a half CPUs are three");
  expect(with("0::/\n", v2, File("/cpu.max", "50000 100000\n")) == 1, "cgroup v2: half a CPU is one thread");
  expect(with("0::/\n", v2, File("/cpu.max", "800000 100000\n")) == 7, "cgroup v2: of eight CPUs' time one is left");
  expect(with("0::/a/b\n", v2, File("/a/b/cpu.max", "max 100000\n"), File("/a/cpu.max", "300000 100000\n")) == 3,
         "cgroup v2: a limit of a parent");
  expect(with("0::/a/b\n", v2, File("/a/b/cpu.max", "200000 100000\n"), File("/a/cpu.max", "300000 100000\n")) == 2,
         "cgroup v2: the tightest limit");
  expect(with("0::/../x\n", v2, File("/cpu.max", "200000 100000\n")) == 2, "cgroup v2: a path outside of the mount");
  expect(with("0::/\n", v2, File("/cpu.max", "nonsense\n")) == 15, "cgroup v2: no sense, no limit");
  const std::string v1 =
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
      "33 31 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n";
  const std::string own = "5:cpuset:/x\n4:cpu,cpuacct:/x/y\n0::/\n", folder = "/cpu,cpuacct/x";
  expect(
      with(own, v1, File(folder + "/cpu.cfs_quota_us", "-1\n"), File(folder + "/cpu.cfs_period_us", "100000\n")) == 15,
      "cgroup v1: no limit");
  expect(with(own, v1, File(folder + "/cpu.cfs_quota_us", "250000\n"),
              File(folder + "/cpu.cfs_period_us", "100000\n")) == 2,
         "cgroup v1: a limit of a parent");
  // A container that sees the host's path but its own folder as the mount.
  expect(with("4:cpu:/docker/1f\n", "32 31 0:29 /docker/1f /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
              File("/cpu/cpu.cfs_quota_us", "300000\n"), File("/cpu/cpu.cfs_period_us", "100000\n")) == 3,
         "cgroup v1: a container's limit");
}

}  // namespace

void check_topology() {
  check_cores();
  check_hybrid();
  check_limits();
  const int here = suitable_threads();
  expect(here >= 1 && here <= std::max(1, static_cast<int>(std::thread::hardware_concurrency())),
         "topology: this machine's threads are no more than its CPUs");
}

}  // namespace moshi
