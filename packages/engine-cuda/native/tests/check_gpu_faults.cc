// A short program on an emulated GPU of which every call into the driver fails once: what comes out is an error that
// says so, or, where it can do without, the same answer; nothing is left behind.
#include <algorithm>
#include <cstdio>

#include "core/error.h"
#include "cuda/host/sanitizers.h"
#include "tests/check_gpu_driver.h"
#include "tests/checks.h"
#include "tests/gpu_model.h"
#include "tests/talks.h"

namespace moshi {

using gpu::host::DriverFault;
using gpu::host::emulated_driver;
using gpu::host::emulated_report;

namespace {

struct Answer {
  std::string code;  // of the error; empty: there was none
  std::vector<float> values;
  bool failed;  // whether the fault came
};

// Loads a model, hears, answers three times, speaks, and closes.
std::vector<float> program(const SmallFiles& files, const std::string& kernels,
                           const std::shared_ptr<const DriverApi>& driver) {
  constexpr int kSteps = 3, kCodebooks = 4;
  const auto backend = small_gpu(driver, kernels);
  const Lm lm = small_lm(files, *backend, KvType::F16);
  const Mimi mimi = small_mimi(files, *backend);
  const std::vector<float> sound = tone(mimi.frame_samples());
  std::vector<int32_t> codes(kCodebooks);
  std::vector<float> out(sound.size());
  MimiState in = mimi.make_encoder(), back = mimi.make_decoder();
  mimi.encode(in, sound.data(), 1, kCodebooks, codes.data());
  const Record talk = alone(lm, 1, kSteps, false);
  mimi.decode(back, codes.data(), 1, kCodebooks, out.data());
  out.insert(out.end(), talk.said.begin(), talk.said.end());
  out.insert(out.end(), talk.ring.begin(), talk.ring.end());
  return out;
}

Answer answer(const SmallFiles& files, const std::string& kernels, const DriverFault& fault) {
  Answer out{};
  {
    const auto driver = emulated_driver({.fault = fault});
    out.code = code([&] { out.values = program(files, kernels, driver); });
    out.failed = emulated_report().failed;
  }
  for (const std::string& mistake : emulated_report().mistakes)
    expect(false, "GPU faults: " + fault.call + " " + std::to_string(fault.which) + ": " + mistake);
  return out;
}

struct Kind {
  const char* call;
  cu::Status status;
  const char* code;  // of the error that is due
  bool lasting = false;
};

}  // namespace

void check_gpu_faults(const std::string& kernels) {
  // The sanitizer takes several times as long.
  const int most = gpu::host::kAddressSanitizer ? 4 : 12;
  const SmallFiles files(Precision::Q8);
  const Answer sound = answer(files, kernels, {});
  expect(sound.code.empty() && !sound.values.empty(), "GPU faults: without one the program gives an answer");
  int errors = 0;
  for (const Kind& kind : {Kind{"cuMemAlloc", cu::kOutOfMemory, kGpuMemory},
                           {"cuMemHostAlloc", cu::kOutOfMemory, kGpuMemory},
                           {"cuMemcpyHtoDAsync", cu::kInvalidValue, kGpuDriver},
                           {"cuMemcpyDtoHAsync", cu::kIllegalAddress, kGpuLost},
                           {"cuMemsetD8Async", cu::kInvalidValue, kGpuDriver},
                           {"cuLaunchKernel", cu::kLaunchOutOfResources, kGpuDriver},
                           {"cuLaunchKernel", cu::kLaunchFailed, kGpuLost},
                           {"cuModuleLoadDataEx", cu::kOutOfMemory, kGpuMemory},
                           {"cuModuleGetFunction", cu::kInvalidValue, kGpuDriver},
                           {"cuGraphInstantiate", cu::kNotSupported, kGpuDriver},
                           {"cuGraphLaunch", cu::kNotSupported, kGpuDriver},
                           {"cuEventSynchronize", cu::kUnknown, kGpuLost},
                           {"", cu::kUnknown, kGpuLost, true}}) {
    const std::string name = std::string("GPU faults: ") + (*kind.call ? kind.call : "any call") + ", " + kind.code;
    int wrong = 0;
    // Whether there was a call with that number.
    const auto fails = [&](int which) {
      const Answer got =
          answer(files, kernels, {.call = kind.call, .which = which, .status = kind.status, .lasting = kind.lasting});
      const bool right = got.code.empty() ? got.values == sound.values : got.failed && got.code == kind.code;
      if (!right) std::printf("      %s, call %d: %s\n", name.c_str(), which, got.code.c_str());
      wrong += !right;
      errors += !got.code.empty();
      return got.failed;
    };
    // Where the calls of this kind end is found by doubling, then by halving.
    int known = 0, beyond = 1;
    while (fails(beyond)) known = beyond, beyond *= 2;
    while (beyond - known > 1) {
      const int middle = (known + beyond) / 2;
      (fails(middle) ? known : beyond) = middle;
    }
    expect(known > 0, name + ": there are such calls");
    const int samples = std::min(known, most);
    for (int i = 0; i < samples; ++i) fails(1 + i * known / samples);
    expect(wrong == 0, name + ": is reported, or changes no bit");
  }
  expect(errors > 100, "GPU faults: most of them end the program");
}

}  // namespace moshi
