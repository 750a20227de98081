#include "cuda/driver.h"

#include "cuda/library.h"

namespace moshi {

std::string cuda_library() {
  const std::string named = system::environment("MOSHI_CUDA_LIBRARY");
  return named.empty() ? system::kCudaLibrary : named;
}

DriverApi::DriverApi(const std::string& file) {
  const Library library(file);
  found = static_cast<bool>(library);
#define MOSHI_FIND(function, needed, name, ...) library.find(function, #name __VA_OPT__(, #__VA_ARGS__));
  MOSHI_DRIVER_FUNCTIONS(MOSHI_FIND)
#undef MOSHI_FIND
}

const char* DriverApi::missing() const {
#define MOSHI_FIND(function, needed, name, ...) \
  if (needed && !function) return #name;
  MOSHI_DRIVER_FUNCTIONS(MOSHI_FIND)
#undef MOSHI_FIND
  return nullptr;
}

std::string DriverApi::words(cu::Status status) const {
  const char *name = nullptr, *text = nullptr;
  if (error_name) error_name(status, &name);
  if (error_text) error_text(status, &text);
  const std::string out = name ? printable(name) : "error " + std::to_string(status);
  return text ? out + ", " + printable(text) : out;
}

Error DriverApi::failure(cu::Status status, const std::string& call) const {
  const std::string what = call + ": " + words(status);
  switch (status) {
    case cu::kOutOfMemory:
      return {kGpuMemory, "the GPU has no memory left (" + what +
                              "): end other programs on it (`nvidia-smi` lists them), or take fewer slots, a shorter "
                              "context or smaller weights"};
    // After these the context is dead, whoever calls whatever.
    case cu::kDeinitialized:
    case cu::kEccUncorrectable:
    case cu::kNvlinkUncorrectable:
    case cu::kContained:
    case cu::kIllegalAddress:
    case cu::kLaunchTimeout:
    case cu::kContextIsDestroyed:
    case cu::kAssert:
    case cu::kHardwareStackError:
    case cu::kIllegalInstruction:
    case cu::kMisalignedAddress:
    case cu::kInvalidAddressSpace:
    case cu::kInvalidProgramCounter:
    case cu::kLaunchFailed:
    case cu::kExternalDevice:
    case cu::kUnknown:
      return {kGpuLost, "the GPU stopped working (" + what +
                            "): close this engine and load it again; if that fails, see what `nvidia-smi` and the "
                            "kernel's log say, or restart the machine"};
    default:
      return {kGpuDriver, "the NVIDIA driver refused a call (" + what + "): install a newer driver, or run on the CPU"};
  }
}

}  // namespace moshi
