#include "cuda/host/emulated_image.h"

#include <charconv>

#include "cuda/host/kernel_table.h"

namespace moshi::gpu::host {

namespace {

constexpr std::string_view kCubin = "cubin of sm_";
constexpr std::string_view kTarget = ".target sm_";
constexpr int kMostThreads = 1024;

// The number behind the first of these words; -1 when there is none.
int number_after(std::string_view text, std::string_view word) {
  const size_t at = text.find(word);
  int out = -1;
  if (at != std::string_view::npos) std::from_chars(text.data() + at + word.size(), text.data() + text.size(), out);
  return out;
}

cu::Status judge(std::string_view text, int arch, int ptx, std::string& log) {
  // Real machine code, which fibers do not run.
  if (text.starts_with("\x7f"
                       "ELF"))
    return cu::kNoBinaryForGpu;
  if (text.starts_with(kCubin)) {
    const int made_for = number_after(text, kCubin);
    return made_for / 10 == arch / 10 && made_for <= arch ? cu::kSuccess : cu::kNoBinaryForGpu;
  }
  constexpr std::string_view kVersion = ".version ";
  const int major = number_after(text, kVersion), target = number_after(text, kTarget);
  if (major < 0 || target < 0) {
    log = "ptxas fatal: Missing .version or .target directive";
    return cu::kInvalidImage;
  }
  const int minor = number_after(text.substr(text.find(kVersion) + kVersion.size()), ".");
  if (major * 10 + minor > ptx) {
    log = "ptxas fatal: Unsupported .version " + std::to_string(major) + "." + std::to_string(minor);
    return cu::kUnsupportedPtxVersion;
  }
  if (target > arch) {
    log = "ptxas fatal: SM version specified by .target is higher than default SM version assumed";
    return cu::kInvalidPtx;
  }
  return cu::kSuccess;
}

// Kernels of matrix units are in the images of their generation alone.
bool is_for(std::string_view kernel, int arch) {
  if (kernel.find("_mma75_") != kernel.npos) return arch >= 75 && arch < 80;
  return arch >= 80 || kernel.find("_mma80_") == kernel.npos;
}

}  // namespace

cu::Status read_image(std::string_view text, int arch, int ptx, EmulatedImage& out, std::string& log) {
  if (const cu::Status status = judge(text, arch, ptx, log); status != cu::kSuccess) return status;
  out.made_for = text.starts_with(kCubin) ? "cubin sm_" + std::to_string(number_after(text, kCubin))
                                          : "ptx sm_" + std::to_string(number_after(text, kTarget));
  constexpr std::string_view kEntry = ".entry ", kBounds = ".maxntid ";
  for (size_t at = text.find(kEntry); at != std::string_view::npos; at = text.find(kEntry, at + 1)) {
    const std::string_view rest = text.substr(at + kEntry.size());
    const std::string_view head = rest.substr(0, rest.find('{'));
    const int bound = number_after(head, kBounds);
    out.kernels.emplace(rest.substr(0, rest.find('(')), bound < 0 ? kMostThreads : bound);
  }
  return cu::kSuccess;
}

std::string stand_in_image(int arch, int ptx, bool cubin) {
  std::string out = cubin ? std::string(kCubin) + std::to_string(arch) + "\n"
                          : ".version " + std::to_string(ptx / 10) + "." + std::to_string(ptx % 10) + "\n.target sm_" +
                                std::to_string(arch) + "\n";
  for (const HostKernel& kernel : host_kernels())
    if (is_for(kernel.name, arch)) out += ".entry " + std::string(kernel.name) + "() {}\n";
  return out;
}

}  // namespace moshi::gpu::host
