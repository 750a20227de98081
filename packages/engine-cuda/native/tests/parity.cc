// parity [--isa NAME] [--threads N] [--emulated SM] DIR…: runs golden case folders, one row a check; exit 1 if any
// falls short. Emulated: on a GPU of that generation made of fibers.
#include "tests/parity.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>

#include "core/error.h"
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "files/file.h"
#include "files/json.h"
#include "files/safetensors.h"

namespace moshi {

bool Case::has(const std::string& leaf) const {
  struct stat info {};
  return ::stat(file(leaf).c_str(), &info) == 0;
}

std::string Case::readme() const {
  return has("README.md") ? read_whole(file("README.md"), 1 << 20) : std::string();
}

namespace {

void run(const Case& one, Backend& backend, Report& report) {
  if (one.has("cases.json")) return check_sentencepiece(one, report);
  if (!one.has("expected.safetensors"))
    return report.failed("kind of case", "no expected.safetensors and no cases.json in this folder");
  const Safetensors expected(one.file("expected.safetensors"));
  if (one.has("configs.json") && expected.has("logits")) return check_sampling(one, report);
  if (expected.has("codes_stream")) return check_mimi(one, backend, report);
  if (expected.has("noprompt_emitted")) return check_personaplex(one, backend, report);
  if (one.has("zip.pt")) return check_torch(one, report);
  if (one.has("dep_q16.safetensors")) return check_expand(one, backend, report);
  if (one.has("lora.safetensors") || one.has("lora_fused_names.safetensors")) return check_lora(one, backend, report);
  const auto dequantized = expected.tensors().lower_bound("dequant.");
  if (dequantized != expected.tensors().end() && dequantized->first.find("dequant.") == 0)
    return check_quantized(one, backend, report);
  if (expected.has("gen_user")) return check_lm(one, backend, report);
  if (expected.has("loop_codes") || (expected.has("extra_heads") && expected.has("codes")))
    return check_stt(one, backend, report);
  report.failed("kind of case",
                "this version runs Mimi, Moshi, LoRA, q8, PersonaPlex and its expansion, speech-to-text, sampling, "
                "SentencePiece and torch cases; this is another kind");
}

int main_checked(int argc, char** argv) {
  const char* isa = nullptr;
  int arch = 0, threads = 1, failures = 0, checks = 0, at = 1;
  for (; at + 1 < argc && std::strncmp(argv[at], "--", 2) == 0; at += 2) {
    if (std::strcmp(argv[at], "--isa") == 0)
      isa = argv[at + 1];
    else if (std::strcmp(argv[at], "--threads") == 0)
      threads = std::atoi(argv[at + 1]);
    else if (std::strcmp(argv[at], "--emulated") == 0)
      arch = std::atoi(argv[at + 1]);
    else
      throw Error(kBadOption, std::string("unknown option ") + argv[at]);
  }
  if (at >= argc) throw Error(kBadOption, "usage: parity [--isa NAME] [--threads N] [--emulated SM] DIR…");
  const gpu::host::StandInKernels kernels;
  const std::unique_ptr<Backend> owned =
      arch > 0 ? std::unique_ptr<Backend>(std::make_unique<CudaBackend>(
                     gpu::host::emulated_driver({.arch = arch}), CardOptions{.kernels = kernels.folder()}, threads))
               : std::make_unique<CpuBackend>(threads, isa, Inputs::Floats);
  Backend& backend = *owned;
  for (; at < argc; ++at) {
    std::string folder = argv[at];
    while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
    const Case one{folder, folder.substr(folder.find_last_of('/') + 1)};
    Report report(one.name);
    try {
      run(one, backend, report);
    } catch (const std::exception& error) {
      report.failed("runs to its end", error.what());
    }
    if (report.checks() == 0) report.failed("checks", "the folder holds nothing this program can check");
    failures += report.failures();
    checks += report.checks();
  }
  std::printf("%d checks on %s, %d failed\n", checks, backend.name().c_str(), failures);
  return failures ? 1 : 0;
}

}  // namespace
}  // namespace moshi

int main(int argc, char** argv) {
  try {
    return moshi::main_checked(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parity: %s\n", error.what());
    return 2;
  }
}
