#include "cuda/kernel_loader.h"

#include <algorithm>
#include <array>

#include "files/file.h"

namespace moshi {

namespace {

constexpr uint64_t kMostImageBytes = 1 << 30;
// Of shared memory, what a launch gets unasked.
constexpr size_t kUsualShared = 48 << 10;

// That this image does not suit the GPU or the driver; another may.
bool unsuitable(cu::Status status) {
  switch (status) {
    case cu::kInvalidImage:
    case cu::kNoBinaryForGpu:
    case cu::kInvalidPtx:
    case cu::kUnsupportedPtxVersion:
    case cu::kJitCompilerNotFound:
    case cu::kJitCompilationDisabled:
      return true;
    default:
      return false;
  }
}

// The compiler's words in one line.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

KernelLoader::KernelLoader(Context& context, const std::string& folder, int arch)
    : context_(context), images_(folder), arch_(arch) {
  images_.check(arch);
  // All images are made alike, so one tells; and a driver that takes none says so before a model is loaded.
  taken_ = image(images_.file_of("rms_norm")).arch;
}

KernelLoader::LoadedImage KernelLoader::load(const std::string& file) {
  std::string refused;
  for (const Images::Image& image : images_.fitting(file, arch_)) {
    const std::string bytes = read_whole(image.path, kMostImageBytes);
    std::array<char, 2048> log{};
    cu::JitOption options[] = {cu::kErrorLog, cu::kErrorLogBytes};
    void* values[] = {log.data(), reinterpret_cast<void*>(log.size() - 1)};
    cu::Module module = nullptr;
    const cu::Status status = context_.ask(context_.api().module_load, &module, bytes.c_str(), 2u, options, values);
    if (status == cu::kSuccess)
      return {Owned(context_, "cuModuleUnload", context_.api().module_unload, module), image.arch};
    if (!unsuitable(status)) context_.check(status, "cuModuleLoadDataEx");
    refused += (refused.empty() ? "" : "; ") + image.path + ": " + context_.api().words(status);
    if (log[0]) refused += ", " + printable(one_line(log.data()), log.size());
  }
  if (refused.empty())
    throw Error(kNotBuilt, "the kernels of " + file + " are not there for sm_" + std::to_string(arch_) +
                               ": build the GPU kernels anew with `npm run build` in the repository");
  throw Error(kGpuDriver, "the NVIDIA driver takes none of the kernels for sm_" + std::to_string(arch_) + " (" +
                              refused + "): install a newer driver, or run on the CPU");
}

const KernelLoader::LoadedImage& KernelLoader::image(const std::string& file) {
  auto found = loaded_.find(file);
  if (found == loaded_.end()) found = loaded_.emplace(file, load(file)).first;
  return found->second;
}

LoadedKernel& KernelLoader::find(std::string_view name) {
  if (const auto found = kernels_.find(name); found != kernels_.end()) return found->second;
  const std::string text(name);
  const DriverApi& api = context_.api();
  LoadedKernel kernel;
  const cu::Status status =
      context_.ask(api.module_function, &kernel.function, image(images_.file_of(name)).module.get(), text.c_str());
  if (status == cu::kNotFound)
    throw Error(kNotBuilt, "the kernel " + text + " is not there for sm_" + std::to_string(taken_) +
                               ": build the GPU kernels anew with `npm run build` in the repository");
  context_.check(status, "cuModuleGetFunction");
  int fixed = 0;
  context_.call("cuFuncGetAttribute", api.function_get, &fixed, cu::kStaticShared, kernel.function);
  kernel.fixed_shared = static_cast<size_t>(std::max(fixed, 0));
  kernel.granted_shared = kUsualShared - std::min(kUsualShared, kernel.fixed_shared);
  return kernels_.emplace(text, kernel).first->second;
}

}  // namespace moshi
