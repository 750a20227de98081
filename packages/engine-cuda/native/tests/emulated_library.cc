// The emulated driver as a library in libcuda's place, so that the addon itself can be tested on it. Environment:
//   MOSHI_EMULATED_ARCH=80  MOSHI_EMULATED_CARDS=1  MOSHI_EMULATED_MEMORY=BYTES  the GPUs there are
//   MOSHI_EMULATED_FAULT=cuMemAlloc:3:2[:lasting]   the third call of it, and maybe all after it, fail with status 2
//   MOSHI_EMULATED_SEALED=1                         the host that touches their memory ends by a segmentation fault
//   MOSHI_EMULATED_KERNELS=FOLDER                   to put stand-ins for the kernels' images into
// What a program did wrong is written to standard error when it ends.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

#include "cuda/host/emulated_state.h"

namespace moshi::gpu::host {

namespace {

template <typename Number>
void set(Number& number, const char* name) {
  if (const char* text = std::getenv(name)) number = static_cast<Number>(std::atoll(text));
}

DriverFault fault_of(const std::string& text) {
  DriverFault out;
  std::istringstream parts(text);
  std::string which, status, lasting;
  std::getline(parts, out.call, ':');
  std::getline(parts, which, ':');
  std::getline(parts, status, ':');
  std::getline(parts, lasting);
  out.which = std::atoi(which.c_str());
  out.status = static_cast<cu::Status>(std::atoi(status.c_str()));
  out.lasting = lasting == "lasting";
  return out;
}

const struct Loaded {
  Loaded() {
    EmulatedOptions options;
    set(options.arch, "MOSHI_EMULATED_ARCH");
    set(options.cards, "MOSHI_EMULATED_CARDS");
    set(options.memory, "MOSHI_EMULATED_MEMORY");
    set(options.sealed, "MOSHI_EMULATED_SEALED");
    if (const char* fault = std::getenv("MOSHI_EMULATED_FAULT")) options.fault = fault_of(fault);
    if (const char* kernels = std::getenv("MOSHI_EMULATED_KERNELS")) {
      std::filesystem::create_directories(kernels);
      StandInKernels::write_all(kernels);
    }
    start_emulated(options);
  }
  ~Loaded() {
    stop_emulated();
    for (const std::string& mistake : emulated_report().mistakes)
      std::fprintf(stderr, "emulated driver: %s\n", mistake.c_str());
  }
} loaded;

}  // namespace

}  // namespace moshi::gpu::host
