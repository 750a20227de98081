#include "cuda/nvml.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace moshi {

namespace {

constexpr int kMemoryClock = 2;
constexpr unsigned kMostProcesses = 256;

}  // namespace

Nvml::Nvml(const std::string& name) : library_(name) {
  library_.find(init_, "nvmlInit_v2", "nvmlInit");
  library_.find(shutdown_, "nvmlShutdown");
  library_.find(version_, "nvmlSystemGetDriverVersion");
  library_.find(by_address_, "nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetHandleByPciBusId");
  library_.find(memory_, "nvmlDeviceGetMemoryInfo");
  library_.find(clock_, "nvmlDeviceGetMaxClockInfo");
  library_.find(bus_, "nvmlDeviceGetMemoryBusWidth");
  library_.find(mig_, "nvmlDeviceGetMigMode");
  library_.find(processes_, "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2");
  library_.find(old_processes_, "nvmlDeviceGetComputeRunningProcesses");
  if (init_) status_ = init_();
}

Nvml::~Nvml() {
  if (status_ == 0 && shutdown_) shutdown_();
}

std::string Nvml::driver_version() const {
  std::array<char, 96> text{};
  if (status_ != 0 || !version_ || version_(text.data(), text.size() - 1) != 0) return "";
  return printable(text.data());
}

Nvml::Card Nvml::card(const std::string& address) const {
  Card out;
  Device device = nullptr;
  if (status_ != 0 || !by_address_ || by_address_(address.c_str(), &device) != 0) return out;
  if (Memory memory{}; memory_ && memory_(device, &memory) == 0 && memory.free <= memory.total) out.memory = memory;
  unsigned mhz = 0, bits = 0;
  if (clock_ && bus_ && clock_(device, kMemoryClock, &mhz) == 0 && bus_(device, &bits) == 0)
    out.bandwidth = uint64_t{mhz} * 1'000'000 * 2 * bits / 8;
  unsigned now = 0, next = 0;
  out.mig = mig_ && mig_(device, &now, &next) == 0 && now == 1;
  out.processes = processes_       ? processes<Process>(processes_, device)
                  : old_processes_ ? processes<OldProcess>(old_processes_, device)
                                   : std::vector<GpuProcess>{};
  return out;
}

template <typename Kind, typename List>
std::vector<GpuProcess> Nvml::processes(List* list, Device device) {
  std::vector<Kind> found(kMostProcesses);
  unsigned count = kMostProcesses;
  if (list(device, &count, found.data()) != 0) return {};
  std::vector<GpuProcess> out;
  for (unsigned i = 0; i < std::min(count, kMostProcesses); ++i) {
    if (found[i].pid == system::process_id()) continue;
    GpuProcess one{.pid = found[i].pid, .bytes = std::nullopt};
    // All bits set: the system keeps it to itself.
    if (found[i].bytes != ~0ull) one.bytes = found[i].bytes;
    out.push_back(one);
  }
  return out;
}

}  // namespace moshi
