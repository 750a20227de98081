#include "cuda/probe.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/error.h"
#include "cuda/driver.h"
#include "cuda/nvml.h"

namespace moshi {

namespace {

constexpr int kMostGpus = 64;

int get(const DriverApi& cuda, cu::Attribute which, cu::Device of) {
  int value = 0;
  return cuda.device_attribute && cuda.device_attribute(&value, which, of) == 0 ? std::max(value, 0) : 0;
}

// Free memory as the card's context sees it; making one takes some hundred megabytes, so this is the last resort.
std::optional<size_t> free_memory(const DriverApi& cuda, cu::Device device) {
  cu::Context context = nullptr;
  if (!cuda.context_retain || !cuda.context_release || !cuda.context_push || !cuda.context_pop || !cuda.memory_info)
    return std::nullopt;
  if (cuda.context_retain(&context, device) != 0) return std::nullopt;
  size_t free = 0, total = 0;
  bool known = false;
  if (cuda.context_push(context) == 0) {
    known = cuda.memory_info(&free, &total) == 0;
    cu::Context popped = nullptr;
    cuda.context_pop(&popped);
  }
  cuda.context_release(device);
  return known ? std::optional(free) : std::nullopt;
}

std::string uuid_text(const cu::Uuid& uuid, bool mig) {
  std::string out = mig ? "MIG" : "GPU";
  for (size_t i = 0; i < std::size(uuid.bytes); ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", uuid.bytes[i]);
    out += hex;
  }
  return out;
}

GpuInfo look_at(const DriverApi& cuda, const Nvml& nvml, int index, cu::Device device) {
  GpuInfo out;
  out.index = index;
  std::array<char, 256> text{};
  if (cuda.device_name && cuda.device_name(text.data(), text.size() - 1, device) == 0)
    out.name = printable(text.data());
  out.major = get(cuda, cu::kMajor, device);
  out.minor = get(cuda, cu::kMinor, device);
  out.multiprocessors = get(cuda, cu::kMultiprocessors, device);
  out.integrated = get(cuda, cu::kIntegrated, device) != 0;
  out.ecc = get(cuda, cu::kEcc, device) != 0;
  out.bandwidth = static_cast<uint64_t>(get(cuda, cu::kMemoryClock, device)) * 1000 * 2 *
                  static_cast<uint64_t>(get(cuda, cu::kMemoryBus, device)) / 8;
  size_t total = 0;
  if (cuda.device_memory && cuda.device_memory(&total, device) == 0) out.total_bytes = total;

  Nvml::Card card;
  std::array<char, 64> address{};
  if (cuda.device_address && cuda.device_address(address.data(), address.size() - 1, device) == 0)
    card = nvml.card(address.data());
  out.mig = card.mig;
  out.processes = card.processes;
  if (out.bandwidth == 0) out.bandwidth = card.bandwidth;
  if (cu::Uuid uuid; cuda.device_uuid && cuda.device_uuid(&uuid, device) == 0) out.uuid = uuid_text(uuid, out.mig);

  // The management library speaks of whole cards; a slice has its share of memory and of the way to it.
  if (out.mig && card.memory && card.memory->total > out.total_bytes)
    out.bandwidth = static_cast<uint64_t>(static_cast<double>(out.bandwidth) * static_cast<double>(out.total_bytes) /
                                          static_cast<double>(card.memory->total));
  if (!out.mig && card.memory) {
    out.total_bytes = card.memory->total;
    out.free_bytes = card.memory->free;
  } else if (const auto free = free_memory(cuda, device)) {
    out.free_bytes = std::min<uint64_t>(*free, out.total_bytes);
  }
  return out;
}

GpuProblem mismatch() {
  return {"GPU_DRIVER_MISMATCH",
          "the NVIDIA driver in the kernel and its libraries are of different versions: restart the machine, or in a "
          "container install no driver and let the NVIDIA container toolkit bring the host's"};
}

GpuProblem no_permission() {
  return {"GPU_NO_PERMISSION",
          "the NVIDIA driver refuses this process: let its user read and write /dev/nvidia*, or start the container "
          "with access to the GPU (docker run --gpus all)"};
}

GpuProblem too_old(int cuda_version) {
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(),
                "the NVIDIA driver runs CUDA %d.%d at most and 9.0 is needed: install driver 384 or newer",
                cuda_version / 1000, cuda_version % 1000 / 10);
  return {"GPU_DRIVER_TOO_OLD", text.data()};
}

GpuProblem explain(const std::string& call, cu::Status status, const Nvml& nvml) {
  if (status == cu::kMismatch || nvml.status() == Nvml::kMismatch) return mismatch();
  if (status == cu::kNotPermitted || nvml.status() == Nvml::kNoPermission) return no_permission();
  if (status == cu::kNoDevice)
    return {"GPU_NOT_FOUND",
            "there is an NVIDIA driver but it shows no GPU: check `nvidia-smi`, CUDA_VISIBLE_DEVICES, and that a "
            "container was started with --gpus all"};
  if (status == cu::kInsufficientDriver || status == cu::kStubLibrary)
    return {"GPU_DRIVER_ERROR",
            std::string(system::kCudaLibrary) +
                " is a placeholder or does not suit the kernel's driver: install the NVIDIA driver and take "
                "folders named stubs out of LD_LIBRARY_PATH"};
  if (status == cu::kNotReady)
    return {"GPU_DRIVER_ERROR", "the GPUs are not ready: start nvidia-fabricmanager and wait until it is up"};
  const char* cure = status == cu::kUnknown
                         ? ": load the kernel module (nvidia-modprobe -u), or restart the machine"
                         : ": see what `nvidia-smi` and the kernel's log say, or restart the machine";
  return {"GPU_DRIVER_ERROR", "the NVIDIA driver failed, " + call + " returned " + std::to_string(status) + cure};
}

}  // namespace

GpuReport probe_gpus(const DriverNames& names) {
  GpuReport out;
  const DriverApi cuda(names.cuda);
  if (!cuda.found) return out;
  const Nvml nvml(names.nvml);
  out.driver = nvml.driver_version();
  const auto failed = [&](const char* call, cu::Status status) {
    out.problem = explain(call, status, nvml);
    return out;
  };
  if (!cuda.init || !cuda.device_count || !cuda.device || !cuda.device_attribute) {
    out.problem = {"GPU_DRIVER_TOO_OLD",
                   std::string(system::kCudaLibrary) +
                       " lacks functions every driver has had for years: install driver 384 or newer"};
    return out;
  }
  // The version needs no cuInit, and tells what is wrong with a driver that refuses it.
  if (cuda.version && cuda.version(&out.cuda_version) != 0) out.cuda_version = 0;
  if (const cu::Status status = cuda.init(0); status != 0) return failed("cuInit", status);
  int count = 0;
  if (const cu::Status status = cuda.device_count(&count); status != 0) return failed("cuDeviceGetCount", status);
  if (count <= 0) return failed("cuDeviceGetCount", cu::kNoDevice);
  for (int i = 0; i < std::min(count, kMostGpus); ++i) {
    cu::Device device = 0;
    if (const cu::Status status = cuda.device(&device, i); status != 0) return failed("cuDeviceGet", status);
    out.gpus.push_back(look_at(cuda, nvml, i, device));
  }
  if (out.cuda_version > 0 && out.cuda_version < kLowestCuda)
    out.problem = too_old(out.cuda_version);
  else if (nvml.status() == Nvml::kMismatch)
    out.problem = mismatch();
  return out;
}

}  // namespace moshi
