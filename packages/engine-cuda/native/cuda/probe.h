// What NVIDIA GPUs there are. The driver's libraries are opened at run time and trusted with nothing: functions may be
// missing, every return is checked, text is bounded. They may still crash or hang, so ask in a process of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/system.h"
#include "cuda/driver.h"

namespace moshi {

struct GpuProcess {
  uint32_t pid = 0;
  std::optional<uint64_t> bytes;  // none: the driver does not tell
};

struct GpuInfo {
  int index = 0;  // as the driver counts, after CUDA_VISIBLE_DEVICES
  std::string name, uuid;
  int major = 0, minor = 0;  // compute capability
  uint64_t total_bytes = 0, free_bytes = 0;
  uint64_t bandwidth = 0;  // nominal bytes a second, 0 = unknown; of a MIG slice its share
  int multiprocessors = 0;
  bool integrated = false, ecc = false;
  bool mig = false;  // a slice of a card, with memory of its own
  std::vector<GpuProcess> processes;
};

struct GpuProblem {
  std::string code, message;  // the message is one line and names the cure
};

struct GpuReport {
  std::vector<GpuInfo> gpus;
  std::string driver;    // as "550.54.15"; empty: unknown
  int cuda_version = 0;  // the newest CUDA the driver runs, 12040 = 12.4; 0: unknown
  // None for a machine with no driver at all: most have no such GPU.
  std::optional<GpuProblem> problem;
};

// The lowest CUDA our kernels run with: 9.0, the first to take PTX 6.0.
inline constexpr int kLowestCuda = 9000;

struct DriverNames {
  std::string cuda = cuda_library(), nvml = system::kNvmlLibrary;
};

GpuReport probe_gpus(const DriverNames& names = {});

}  // namespace moshi
