// The emulated driver itself, its GPUs and contexts, modules and launches.
#include "cuda/host/emulated_driver.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "cuda/host/emulated_state.h"

namespace moshi::gpu::host {

namespace {

constexpr int kVersion = 12080;  // CUDA 12.8

const struct {
  cu::Status status;
  const char *name, *text;
} kErrors[] = {
    {cu::kSuccess, "CUDA_SUCCESS", "no error"},
    {cu::kInvalidValue, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {cu::kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {cu::kNoBinaryForGpu, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {cu::kUnsupportedPtxVersion, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {cu::kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {cu::kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {cu::kCaptureUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {cu::kUnknown, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

// Bytes of shared memory a block may have at most.
int shared_limit(int arch) {
  switch (arch) {
    case 61:
      return 48 << 10;
    case 70:
      return 96 << 10;
    case 75:
      return 64 << 10;
    case 80:
    case 87:
      return 163 << 10;
    case 90:
    case 100:
      return 227 << 10;
    default:
      return 99 << 10;
  }
}

cu::Status attribute_of(const EmulatedOptions& options, cu::Attribute which, int* value) {
  switch (which) {
    case cu::kMultiprocessors:
      *value = options.multiprocessors;
      break;
    case cu::kMemoryClock:
      *value = 1'000'000;
      break;
    case cu::kMemoryBus:
      *value = 256;
      break;
    case cu::kMajor:
      *value = options.arch / 10;
      break;
    case cu::kMinor:
      *value = options.arch % 10;
      break;
    case cu::kCooperativeLaunch:
      *value = options.cooperative ? 1 : 0;
      break;
    case cu::kSharedLimit:
      *value = shared_limit(options.arch);
      break;
    default:
      *value = 0;
  }
  return cu::kSuccess;
}

// Of a launch, blocks to a multiprocessor.
int occupancy(int arch, int threads, size_t shared) {
  const int by_threads = std::min(2048 / ((threads + 31) / 32 * 32), 16);
  return shared == 0 ? by_threads
                     : std::min(by_threads, static_cast<int>(static_cast<size_t>(shared_limit(arch)) / shared));
}

EmulatedCard* card_of(Call& call, cu::Device device) {
  auto& cards = call.driver().cards;
  if (device >= 0 && static_cast<size_t>(device) < cards.size()) return cards[static_cast<size_t>(device)].get();
  call.wrong("there is no such GPU", cu::kInvalidDevice);
  return nullptr;
}

}  // namespace

EMULATED cuInit(unsigned) {
  Call call("cuInit");
  if (call.answer() == cu::kSuccess) call.driver().initialized = true;
  return call.answer();
}

EMULATED cuDriverGetVersion(int* version) {
  *version = kVersion;
  return cu::kSuccess;
}

EMULATED cuGetErrorName(cu::Status status, const char** name) {
  const auto found =
      std::find_if(std::begin(kErrors), std::end(kErrors), [&](const auto& e) { return e.status == status; });
  *name = found == std::end(kErrors) ? nullptr : found->name;
  return *name ? cu::kSuccess : cu::kInvalidValue;
}

// Of what killed a context, what the emulation knows of it.
EMULATED cuGetErrorString(cu::Status status, const char** text) {
  const Call call("cuGetErrorString");
  *text = nullptr;
  if (call.answer() != cu::kDeinitialized && !call.driver().last_words.empty() &&
      (status == cu::kLaunchFailed || status == cu::kIllegalAddress)) {
    *text = call.driver().last_words.c_str();
    return cu::kSuccess;
  }
  for (const auto& error : kErrors)
    if (error.status == status) *text = error.text;
  return *text ? cu::kSuccess : cu::kInvalidValue;
}

EMULATED cuDeviceGetCount(int* count) {
  Call call("cuDeviceGetCount");
  if (!call.begins()) return call.answer();
  *count = call.driver().options.cards;
  return cu::kSuccess;
}

EMULATED cuDeviceGet(cu::Device* device, int index) {
  Call call("cuDeviceGet");
  if (!call.begins()) return call.answer();
  *device = index;
  return card_of(call, index) ? cu::kSuccess : cu::kInvalidDevice;
}

EMULATED cuDeviceGetName(char* name, int size, cu::Device) {
  Call call("cuDeviceGetName");
  if (!call.begins()) return call.answer();
  std::snprintf(name, static_cast<size_t>(size), "Emulated GPU, sm_%d", call.driver().options.arch);
  return cu::kSuccess;
}

EMULATED cuDeviceGetUuid_v2(cu::Uuid* uuid, cu::Device device) {
  *uuid = {};
  uuid->bytes[15] = static_cast<unsigned char>(device);
  return cu::kSuccess;
}

EMULATED cuDeviceGetPCIBusId(char* address, int size, cu::Device device) {
  std::snprintf(address, static_cast<size_t>(size), "0000:%02x:00.0", device + 1);
  return cu::kSuccess;
}

EMULATED cuDeviceGetAttribute(int* value, cu::Attribute which, cu::Device) {
  Call call("cuDeviceGetAttribute");
  return call.begins() ? attribute_of(call.driver().options, which, value) : call.answer();
}

EMULATED cuDeviceTotalMem_v2(size_t* bytes, cu::Device) {
  Call call("cuDeviceTotalMem");
  if (!call.begins()) return call.answer();
  *bytes = call.driver().options.memory;
  return cu::kSuccess;
}

EMULATED cuDevicePrimaryCtxRetain(cu::Context* out, cu::Device device) {
  Call call("cuDevicePrimaryCtxRetain");
  if (!call.begins()) return call.answer();
  EmulatedCard* card = card_of(call, device);
  if (!card) return cu::kInvalidDevice;
  if (card->holders++ == 0) card->context = call.driver().handle<cu::Context>();
  *out = card->context;
  return cu::kSuccess;
}

EMULATED cuDevicePrimaryCtxRelease_v2(cu::Device device) {
  Call call("cuDevicePrimaryCtxRelease", Call::GivesBack);
  if (!call.begins()) return call.answer();
  EmulatedCard* card = card_of(call, device);
  if (!card || card->holders == 0) return call.wrong("nobody holds the context", cu::kInvalidContext);
  if (--card->holders > 0) return call.answer();
  // A dead context takes all of its own along; a sound one is left empty.
  const auto left = [&](size_t count, const char* what) {
    if (count > 0 && card->dead == cu::kSuccess) call.wrong(std::to_string(count) + " " + what + " left behind");
  };
  left(card->memory.count(), "allocations");
  left(card->host.count(), "page-locked allocations");
  left(card->streams.size(), "streams");
  left(card->events.size(), "events");
  left(card->modules.size(), "modules");
  left(card->graphs.size(), "graphs");
  left(card->execs.size(), "graphs to launch");
  const EmulatedOptions& options = call.driver().options;
  call.driver().cards[static_cast<size_t>(device)] = std::make_unique<EmulatedCard>(options.memory, options.sealed);
  return call.answer();
}

EMULATED cuCtxSetCurrent(cu::Context context) {
  Call call("cuCtxSetCurrent");
  if (!call.begins()) return call.answer();
  if (context && !call.card_of(context)) return call.wrong("there is no such context", cu::kInvalidContext);
  Call::make_current(context);
  return cu::kSuccess;
}

EMULATED cuCtxPushCurrent_v2(cu::Context context) {
  return cuCtxSetCurrent(context);
}
EMULATED cuCtxPopCurrent_v2(cu::Context* context) {
  *context = Call::current();
  return cuCtxSetCurrent(nullptr);
}

EMULATED cuModuleLoadDataEx(cu::Module* out, const void* image, unsigned count, cu::JitOption* options, void** values) {
  Call call("cuModuleLoadDataEx");
  if (!call.outside_captures()) return call.answer();
  EmulatedImage loaded;
  std::string log;
  const EmulatedOptions& how = call.driver().options;
  const cu::Status status = read_image(static_cast<const char*>(image), how.arch, how.ptx, loaded, log);
  char* to = nullptr;
  size_t room = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == cu::kErrorLog) to = static_cast<char*>(values[i]);
    if (options[i] == cu::kErrorLogBytes) room = reinterpret_cast<size_t>(values[i]);
  }
  if (to && room > 0) std::snprintf(to, room, "%s", log.c_str());
  if (status != cu::kSuccess) return status;
  call.driver().report.images.push_back(loaded.made_for);
  *out = call.driver().handle<cu::Module>();
  call.card().modules[*out] = std::move(loaded);
  return cu::kSuccess;
}

EMULATED cuModuleUnload(cu::Module handle) {
  Call call("cuModuleUnload", Call::GivesBack);
  if (!call.on_card()) return call.answer();
  const cu::Status status = call.drain();
  if (call.card().modules.erase(handle) == 0) return call.wrong("there is no such module", cu::kInvalidHandle);
  std::erase_if(call.card().functions, [&](const auto& entry) { return entry.second.module == handle; });
  return call.answer(status);
}

EMULATED cuModuleGetFunction(cu::Function* out, cu::Module handle, const char* name) {
  Call call("cuModuleGetFunction");
  if (!call.on_card()) return call.answer();
  const EmulatedImage* module = look_up(call.card().modules, handle);
  if (!module) return call.wrong("there is no such module", cu::kInvalidHandle);
  const auto entry = module->kernels.find(name);
  const HostKernel* kernel = host_kernel(name);
  if (entry == module->kernels.end() || !kernel) return cu::kNotFound;
  *out = call.driver().handle<cu::Function>();
  call.card().functions[*out] = {kernel, entry->second, handle};
  return cu::kSuccess;
}

EMULATED cuFuncGetAttribute(int* value, cu::FunctionAttribute which, cu::Function handle) {
  Call call("cuFuncGetAttribute");
  if (!call.on_card()) return call.answer();
  const EmulatedFunction* function = look_up(call.card().functions, handle);
  if (!function) return call.wrong("there is no such function", cu::kInvalidHandle);
  // What a kernel's own arrays take is known only once it has run.
  *value = which == cu::kThreadLimit ? function->most_threads : 0;
  return cu::kSuccess;
}

EMULATED cuFuncSetAttribute(cu::Function handle, cu::FunctionAttribute which, int value) {
  Call call("cuFuncSetAttribute");
  if (!call.on_card()) return call.answer();
  EmulatedFunction* function = look_up(call.card().functions, handle);
  if (!function) return call.wrong("there is no such function", cu::kInvalidHandle);
  if (which != cu::kDynamicShared || value < 0 || value > shared_limit(call.driver().options.arch))
    return call.wrong("a block has no so much shared memory");
  function->shared = std::max(function->shared, static_cast<size_t>(value));
  return cu::kSuccess;
}

EMULATED cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, cu::Function, int threads, size_t shared) {
  Call call("cuOccupancyMaxActiveBlocksPerMultiprocessor");
  if (!call.on_card()) return call.answer();
  *blocks = occupancy(call.driver().options.arch, threads, shared);
  return cu::kSuccess;
}

namespace {

cu::Status launch(Call& call, cu::Function handle, const unsigned (&grid)[3], const unsigned (&block)[3], size_t shared,
                  cu::Stream stream, void** parameters, bool cooperative) {
  if (!call.on_card()) return call.answer();
  const EmulatedFunction* function = look_up(call.card().functions, handle);
  if (!function) return call.wrong("there is no such function", cu::kInvalidHandle);
  const std::string name = function->kernel->name;
  if (grid[0] < 1 || grid[1] < 1 || grid[2] < 1 || grid[0] > INT32_MAX || grid[1] > 65535 || grid[2] > 65535)
    return call.wrong(name + " with a grid that no GPU has");
  if (block[0] < 1 || block[0] > 1024 || block[1] != 1 || block[2] != 1)
    return call.wrong(name + " with blocks that no GPU has");
  if (block[0] > static_cast<unsigned>(function->most_threads))
    return call.wrong(name + " with more threads than it was compiled for", cu::kLaunchOutOfResources);
  if (shared > function->shared) return call.wrong(name + " with more shared memory than it was granted");
  const EmulatedOptions& options = call.driver().options;
  const auto blocks = static_cast<size_t>(grid[0]) * grid[1] * grid[2];
  const auto at_once = static_cast<size_t>(occupancy(options.arch, static_cast<int>(block[0]), shared)) *
                       static_cast<size_t>(options.multiprocessors);
  if (cooperative && blocks > at_once)
    return call.wrong(name + " with more blocks than are there at once", cu::kCooperativeLaunchTooLarge);
  const Launch how{
      .kernel = function->kernel->name,
      .grid = {static_cast<int>(grid[0]), static_cast<int>(grid[1]), static_cast<int>(grid[2])},
      .threads = static_cast<int>(block[0]),
      .shared_bytes = shared,
      .order = options.order,
      .cooperative = cooperative,
      // What was granted is for dynamic_shared() alone.
      .shared_limit = function->shared > kUsualShared ? static_cast<size_t>(shared_limit(options.arch)) : kUsualShared};
  return call.submit(stream, [how, thread = function->kernel->bind(parameters)] {
    ++Call::driver().report.launches;
    run(how, thread);
  });
}

}  // namespace

EMULATED cuLaunchKernel(cu::Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, cu::Stream stream, void** parameters,
                        void**) {
  Call call("cuLaunchKernel");
  return launch(call, function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, stream, parameters,
                false);
}

EMULATED cuLaunchCooperativeKernel(cu::Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                                   cu::Stream stream, void** parameters) {
  Call call("cuLaunchCooperativeKernel");
  return launch(call, function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, stream, parameters,
                true);
}

}  // namespace moshi::gpu::host
