// NVIDIA's management library: what it knows of a card without taking memory on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cuda/library.h"
#include "cuda/probe.h"

namespace moshi {

class Nvml {
 public:
  explicit Nvml(const std::string& name);
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  static constexpr int kNoPermission = 4, kMismatch = 18;
  // 0: it runs; none: it is not there.
  std::optional<int> status() const { return status_; }
  std::string driver_version() const;

  struct Memory {
    unsigned long long total, free, used;
  };
  // By PCI bus address, "0000:01:00.0". Whatever it does not tell stays empty.
  struct Card {
    std::optional<Memory> memory;
    uint64_t bandwidth = 0;
    bool mig = false;
    std::vector<GpuProcess> processes;
  };
  Card card(const std::string& address) const;

 private:
  using Device = struct DeviceHandle*;
  struct OldProcess {
    unsigned pid;
    unsigned long long bytes;
  };
  struct Process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
  };
  template <typename Kind, typename List>
  static std::vector<GpuProcess> processes(List* list, Device device);

  Library library_;
  std::optional<int> status_;
  int (*init_)();
  int (*shutdown_)();
  int (*version_)(char*, unsigned);
  int (*by_address_)(const char*, Device*);
  int (*memory_)(Device, Memory*);
  int (*clock_)(Device, int kind, unsigned* mhz);
  int (*bus_)(Device, unsigned* bits);
  int (*mig_)(Device, unsigned* now, unsigned* next);
  int (*processes_)(Device, unsigned* count, Process*);
  int (*old_processes_)(Device, unsigned* count, OldProcess*);
};

}  // namespace moshi
