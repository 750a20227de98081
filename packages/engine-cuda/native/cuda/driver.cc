#include "cuda/driver.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/error.h"
#include "cuda/library.h"
#include "cuda/nvml.h"

namespace moshi {

namespace {

using Status = int;
using Device = int;
using Context = struct ContextHandle*;
struct Uuid {
  std::array<unsigned char, 16> bytes;
};

// The driver interface's own numbers.
enum Attribute {
  kMultiprocessors = 16,
  kIntegrated = 18,
  kEcc = 32,
  kMemoryClock = 36,  // kHz
  kMemoryBus = 37,    // bits
  kMajor = 75,
  kMinor = 76,
};
enum : Status {
  kStubLibrary = 34,
  kInsufficientDriver = 35,
  kNoDevice = 100,
  kNotPermitted = 800,
  kNotReady = 802,
  kMismatch = 803,
  kUnknown = 999,
};
constexpr int kMostGpus = 64;

struct Cuda {
  Library library;
  Status (*init)(unsigned);
  Status (*version)(int*);
  Status (*count)(int*);
  Status (*device)(Device*, int);
  Status (*name)(char*, int, Device);
  Status (*uuid)(Uuid*, Device);
  Status (*address)(char*, int, Device);
  Status (*attribute)(int*, int, Device);
  Status (*total)(size_t*, Device);
  Status (*retain)(Context*, Device);
  Status (*release)(Device);
  Status (*push)(Context);
  Status (*pop)(Context*);
  Status (*memory)(size_t* free, size_t* total);

  explicit Cuda(const std::string& file) : library(file) {
    library.find(init, "cuInit");
    library.find(version, "cuDriverGetVersion");
    library.find(count, "cuDeviceGetCount");
    library.find(device, "cuDeviceGet");
    library.find(name, "cuDeviceGetName");
    library.find(uuid, "cuDeviceGetUuid_v2", "cuDeviceGetUuid");
    library.find(address, "cuDeviceGetPCIBusId");
    library.find(attribute, "cuDeviceGetAttribute");
    library.find(total, "cuDeviceTotalMem_v2");
    library.find(retain, "cuDevicePrimaryCtxRetain");
    library.find(release, "cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease");
    library.find(push, "cuCtxPushCurrent_v2");
    library.find(pop, "cuCtxPopCurrent_v2");
    library.find(memory, "cuMemGetInfo_v2");
  }

  int get(Attribute which, Device of) const {
    int value = 0;
    return attribute && attribute(&value, which, of) == 0 ? std::max(value, 0) : 0;
  }
};

// Free memory as the card's context sees it; making one takes some hundred megabytes, so this is the last resort.
std::optional<size_t> free_memory(const Cuda& cuda, Device device) {
  Context context = nullptr;
  if (!cuda.retain || !cuda.release || !cuda.push || !cuda.pop || !cuda.memory) return std::nullopt;
  if (cuda.retain(&context, device) != 0) return std::nullopt;
  size_t free = 0, total = 0;
  bool known = false;
  if (cuda.push(context) == 0) {
    known = cuda.memory(&free, &total) == 0;
    Context popped = nullptr;
    cuda.pop(&popped);
  }
  cuda.release(device);
  return known ? std::optional(free) : std::nullopt;
}

std::string uuid_text(const Uuid& uuid, bool mig) {
  std::string out = mig ? "MIG" : "GPU";
  for (size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", uuid.bytes[i]);
    out += hex;
  }
  return out;
}

GpuInfo look_at(const Cuda& cuda, const Nvml& nvml, int index, Device device) {
  GpuInfo out;
  out.index = index;
  std::array<char, 256> text{};
  if (cuda.name && cuda.name(text.data(), text.size() - 1, device) == 0) out.name = printable(text.data());
  out.major = cuda.get(kMajor, device);
  out.minor = cuda.get(kMinor, device);
  out.multiprocessors = cuda.get(kMultiprocessors, device);
  out.integrated = cuda.get(kIntegrated, device) != 0;
  out.ecc = cuda.get(kEcc, device) != 0;
  out.bandwidth = static_cast<uint64_t>(cuda.get(kMemoryClock, device)) * 1000 * 2 *
                  static_cast<uint64_t>(cuda.get(kMemoryBus, device)) / 8;
  size_t total = 0;
  if (cuda.total && cuda.total(&total, device) == 0) out.total_bytes = total;

  Nvml::Card card;
  std::array<char, 64> address{};
  if (cuda.address && cuda.address(address.data(), address.size() - 1, device) == 0) card = nvml.card(address.data());
  out.mig = card.mig;
  out.processes = card.processes;
  if (out.bandwidth == 0) out.bandwidth = card.bandwidth;
  if (Uuid uuid; cuda.uuid && cuda.uuid(&uuid, device) == 0) out.uuid = uuid_text(uuid, out.mig);

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

GpuProblem explain(const std::string& call, Status status, const Nvml& nvml) {
  if (status == kMismatch || nvml.status() == Nvml::kMismatch) return mismatch();
  if (status == kNotPermitted || nvml.status() == Nvml::kNoPermission) return no_permission();
  if (status == kNoDevice)
    return {"GPU_NOT_FOUND",
            "there is an NVIDIA driver but it shows no GPU: check `nvidia-smi`, CUDA_VISIBLE_DEVICES, and that a "
            "container was started with --gpus all"};
  if (status == kInsufficientDriver || status == kStubLibrary)
    return {"GPU_DRIVER_ERROR",
            "libcuda.so.1 is a placeholder or does not suit the kernel's driver: install the NVIDIA driver and take "
            "folders named stubs out of LD_LIBRARY_PATH"};
  if (status == kNotReady)
    return {"GPU_DRIVER_ERROR", "the GPUs are not ready: start nvidia-fabricmanager and wait until it is up"};
  const char* cure = status == kUnknown ? ": load the kernel module (nvidia-modprobe -u), or restart the machine"
                                        : ": see what `nvidia-smi` and the kernel's log say, or restart the machine";
  return {"GPU_DRIVER_ERROR", "the NVIDIA driver failed, " + call + " returned " + std::to_string(status) + cure};
}

}  // namespace

GpuReport probe_gpus(const DriverNames& names) {
  GpuReport out;
  const Cuda cuda(names.cuda);
  if (!cuda.library) return out;
  const Nvml nvml(names.nvml);
  out.driver = nvml.driver_version();
  const auto failed = [&](const char* call, Status status) {
    out.problem = explain(call, status, nvml);
    return out;
  };
  if (!cuda.init || !cuda.count || !cuda.device || !cuda.attribute) {
    out.problem = {"GPU_DRIVER_TOO_OLD",
                   "libcuda.so.1 lacks functions every driver has had for years: install driver 384 or newer"};
    return out;
  }
  // The version needs no cuInit, and tells what is wrong with a driver that refuses it.
  if (cuda.version && cuda.version(&out.cuda_version) != 0) out.cuda_version = 0;
  if (const Status status = cuda.init(0); status != 0) return failed("cuInit", status);
  int count = 0;
  if (const Status status = cuda.count(&count); status != 0) return failed("cuDeviceGetCount", status);
  if (count <= 0) return failed("cuDeviceGetCount", kNoDevice);
  for (int i = 0; i < std::min(count, kMostGpus); ++i) {
    Device device = 0;
    if (const Status status = cuda.device(&device, i); status != 0) return failed("cuDeviceGet", status);
    out.gpus.push_back(look_at(cuda, nvml, i, device));
  }
  if (out.cuda_version > 0 && out.cuda_version < kLowestCuda)
    out.problem = too_old(out.cuda_version);
  else if (nvml.status() == Nvml::kMismatch)
    out.problem = mismatch();
  return out;
}

}  // namespace moshi
