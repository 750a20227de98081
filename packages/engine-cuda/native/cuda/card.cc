#include "cuda/card.h"

#include <algorithm>

namespace moshi {

namespace {

constexpr size_t kAlignment = 256;

cu::Address address(const void* memory) {
  return reinterpret_cast<cu::Address>(memory);
}

Owned<cu::Stream> make_stream(Context& context) {
  cu::Stream stream = nullptr;
  context.call("cuStreamCreate", context.api().stream_create, &stream, cu::kNonBlocking);
  return {context, "cuStreamDestroy", context.api().stream_destroy, stream};
}

}  // namespace

Card::Card(std::shared_ptr<const DriverApi> api, const CardOptions& options)
    : context_(std::move(api), options.index),
      arch_(context_.attribute(cu::kMajor) * 10 + context_.attribute(cu::kMinor)),
      multiprocessors_(context_.attribute(cu::kMultiprocessors)),
      shared_limit_(static_cast<size_t>(context_.attribute(cu::kSharedLimit))),
      stream_(make_stream(context_)),
      staging_(context_, stream_.get()),
      kernels_(context_, options.kernels, arch_),
      graphs_(options.graphs) {
  const DriverApi& driver = context_.api();
  if (graphs_ && !(driver.capture_begin && driver.capture_end && driver.graph_destroy && driver.graph_launch &&
                   driver.graph_exec_destroy && (driver.graph_instantiate || driver.graph_instantiate_old)))
    without_graphs("the driver has none: install driver 418 or newer");
}

Card::~Card() {
  context_.quietly("cuStreamSynchronize", context_.api().stream_wait, stream_.get());
  for (const auto& [memory, bytes] : live_) context_.quietly("cuMemFree", context_.api().memory_free, address(memory));
  for (const auto& [bytes, memory] : kept_) context_.quietly("cuMemFree", context_.api().memory_free, address(memory));
}

void Card::only_outside(const char* what) const {
  if (inside_) throw Error(kBadOption, std::string("a recorded program cannot ") + what + ": do so before it");
}

cu::Address Card::take(size_t bytes) {
  cu::Address out = 0;
  const auto ask = [&] { return context_.ask(context_.api().memory_allocate, &out, bytes); };
  cu::Status status = ask();
  if (status == cu::kOutOfMemory && !kept_.empty()) {
    give_back_kept();
    status = ask();
  }
  if (status != cu::kOutOfMemory) {
    context_.check(status, "cuMemAlloc");
    return out;
  }
  size_t free = 0, total = 0;
  context_.call("cuMemGetInfo", context_.api().memory_info, &free, &total);
  throw Error(kGpuMemory, "the GPU has no memory for " + std::to_string(bytes) + " bytes more, " +
                              std::to_string(free) + " of " + std::to_string(total) + " are free and " +
                              std::to_string(allocated_) +
                              " are this engine's: end other programs on it (`nvidia-smi` lists them), or take fewer "
                              "slots, a shorter context or smaller weights");
}

size_t Card::available() {
  size_t free = 0, total = 0, out = 0;
  context_.call("cuMemGetInfo", context_.api().memory_info, &free, &total);
  for (const auto& [bytes, memory] : kept_) out += bytes;
  return out + free;
}

void* Card::allocate(size_t bytes) {
  if (recording_) throw Error(kBadOption, "a program cannot allocate memory while it is recorded: do so before it");
  // The last of these has no multiple of the alignment above it.
  bytes = std::clamp(bytes, size_t{1}, SIZE_MAX / kAlignment * kAlignment);
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* memory;
  if (const auto found = kept_.find(bytes); found != kept_.end()) {
    memory = found->second;
    kept_.erase(found);
  } else {
    memory = reinterpret_cast<void*>(take(bytes));
    allocated_ += bytes;
    most_ = std::max(most_, allocated_);
  }
  live_[memory] = bytes;
  try {
    clear(memory, bytes);
  } catch (...) {
    free(memory);
    throw;
  }
  return memory;
}

void Card::free(void* memory) {
  if (!memory) return;
  const auto found = live_.find(memory);
  if (found == live_.end()) throw Error(kBadOption, "memory of the GPU is freed that was not allocated, or was freed");
  kept_.emplace(found->second, memory);
  live_.erase(found);
}

void Card::give_back() {
  only_outside("give memory back");
  give_back_kept();
}

void Card::give_back_kept() {
  // What the driver refuses to free is not to be used again either.
  for (const auto& [bytes, memory] : std::exchange(kept_, {})) {
    allocated_ -= bytes;
    context_.quietly("cuMemFree", context_.api().memory_free, address(memory));
  }
}

void Card::copy(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  context_.call("cuMemcpyDtoDAsync", context_.api().copy, address(to), address(from), bytes, stream_.get());
}

void Card::copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows) {
  if (width == 0 || rows == 0) return;
  cu::Copy2D shape{};
  shape.from_kind = shape.to_kind = cu::kDevice;
  shape.from = address(from);
  shape.to = address(to);
  // Of a single row the driver would still hold the pitch to the width.
  shape.from_pitch = std::max(from_pitch, width);
  shape.to_pitch = std::max(to_pitch, width);
  shape.width = width;
  shape.rows = rows;
  context_.call("cuMemcpy2DAsync", context_.api().copy_rows, &shape, stream_.get());
}

void Card::clear(void* at, size_t bytes) {
  if (bytes == 0) return;
  context_.call("cuMemsetD8Async", context_.api().fill, address(at), 0, bytes, stream_.get());
}

void Card::write(void* to, const void* host, size_t bytes) {
  only_outside("write from the host");
  staging_.write(address(to), host, bytes);
}

void Card::read(void* host, const void* from, size_t bytes) {
  read(host, from, bytes, [](FunctionRef<void()> wait) { wait(); });
}

void Card::read(void* host, const void* from, size_t bytes, FunctionRef<void(FunctionRef<void()>)> apart) {
  only_outside("read to the host");
  staging_.read(host, address(from), bytes, apart);
}

void Card::wait() {
  only_outside("wait");
  context_.call("cuStreamSynchronize", context_.api().stream_wait, stream_.get());
}

LoadedKernel& Card::kernel(const char* name, size_t shared_bytes) {
  LoadedKernel& out = kernels_.find(name);
  if (out.fixed_shared + shared_bytes > shared_limit_)
    throw Error(kBadOption, "the kernel " + std::string(name) + " asks for " +
                                std::to_string(out.fixed_shared + shared_bytes) +
                                " bytes of shared memory, a block of " + "this GPU has " +
                                std::to_string(shared_limit_) + ": launch it with fewer");
  if (shared_bytes > out.granted_shared) {
    context_.call("cuFuncSetAttribute", context_.api().function_set, out.function, cu::kDynamicShared,
                  static_cast<int>(shared_bytes));
    out.granted_shared = shared_bytes;
  }
  return out;
}

void Card::run(const char* name, const LaunchShape& shape, void** parameters) {
  const cu::Function function = kernel(name, shape.shared_bytes).function;
  const auto [x, y, z] = shape.grid;
  const auto launch = [&](const char* call, auto how, auto... more) {
    context_.call(call, how, function, static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z),
                  static_cast<unsigned>(shape.threads), 1u, 1u, static_cast<unsigned>(shape.shared_bytes),
                  stream_.get(), parameters, more...);
  };
  const DriverApi& driver = context_.api();
  if (!shape.cooperative) return launch("cuLaunchKernel", driver.launch, nullptr);
  if (!driver.launch_cooperative)
    throw Error(kGpuDriver, "the NVIDIA driver lacks cuLaunchCooperativeKernel: install a newer driver");
  launch("cuLaunchCooperativeKernel", driver.launch_cooperative);
}

int Card::blocks_at_once(const char* name, int threads, size_t shared_bytes) {
  const DriverApi& driver = context_.api();
  if (!driver.launch_cooperative || !driver.blocks_per_multiprocessor || !context_.attribute(cu::kCooperativeLaunch))
    return 0;
  int blocks = 0;
  context_.call("cuOccupancyMaxActiveBlocksPerMultiprocessor", driver.blocks_per_multiprocessor, &blocks,
                kernel(name, shared_bytes).function, threads, shared_bytes);
  return blocks * multiprocessors_;
}

}  // namespace moshi
