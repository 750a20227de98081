// parity [--isa NAME] [--threads N] [--gpu INDEX | --emulated SM] [--kernels FOLDER] [--graphs on|off] [--stages
// on|off] DIR…: runs golden case folders, one row a check; exit 1 if any falls short, 2 if none can be run. On the CPU,
// on a GPU as NVIDIA's driver counts them, or on one of that generation made of fibers.
#include "tests/parity.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/path.h"
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "files/file.h"
#include "files/json.h"
#include "files/safetensors.h"

namespace moshi {

bool Case::has(const std::string& leaf) const {
  return std::filesystem::exists(path_of(file(leaf)));
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

struct Options {
  const char* isa = nullptr;
  int threads = 1, emulated = 0, gpu = -1;
  std::string kernels;
  bool graphs = true, stages = true;
  int first = 1;  // of the folders
};

int whole(const char* name, const char* text) {
  int value = 0;
  const char* end = text + std::strlen(text);
  if (const auto read = std::from_chars(text, end, value); read.ec != std::errc() || read.ptr != end || value < 0)
    throw Error(kBadOption, std::string(name) + " takes a whole number, not '" + printable(text) + "'");
  return value;
}

bool on_or_off(const char* name, std::string_view text) {
  if (text != "on" && text != "off")
    throw Error(kBadOption, std::string(name) + " takes on or off, not '" + printable(text) + "'");
  return text == "on";
}

Options parse(int argc, char** argv) {
  Options out;
  // Beside the folder this program was built in.
  out.kernels = (std::filesystem::path(argv[0]).parent_path() / "../../prebuilds/kernels").lexically_normal().string();
  int& at = out.first;
  for (; at + 1 < argc && std::strncmp(argv[at], "--", 2) == 0; at += 2) {
    const char *value = argv[at + 1], *name = argv[at];
    const std::string_view option = name;
    if (option == "--isa")
      out.isa = value;
    else if (option == "--threads")
      out.threads = whole(name, value);
    else if (option == "--emulated")
      out.emulated = whole(name, value);
    else if (option == "--gpu")
      out.gpu = whole(name, value);
    else if (option == "--kernels")
      out.kernels = value;
    else if (option == "--graphs")
      out.graphs = on_or_off(name, value);
    else if (option == "--stages")
      out.stages = on_or_off(name, value);
    else
      throw Error(kBadOption, "unknown option " + printable(name));
  }
  if (at >= argc)
    throw Error(kBadOption,
                "usage: parity [--isa NAME] [--threads N] [--gpu INDEX | --emulated SM] [--kernels FOLDER] [--graphs "
                "on|off] [--stages on|off] DIR…");
  if (out.gpu >= 0 && out.emulated > 0)
    throw Error(kBadOption, "--gpu and --emulated are two devices: choose one of them");
  return out;
}

int main_checked(int argc, char** argv) {
  const Options options = parse(argc, argv);
  int failures = 0, checks = 0, at = options.first;
  std::optional<gpu::host::StandInKernels> stand_in;
  std::unique_ptr<Backend> owned;
  const CudaBackend* card = nullptr;
  if (options.gpu >= 0 || options.emulated > 0) {
    CardOptions how{.index = std::max(0, options.gpu),
                    .graphs = options.graphs,
                    .stages = options.stages,
                    .kernels = options.kernels};
    if (options.emulated > 0) how.kernels = stand_in.emplace().folder();
    auto driver = options.emulated > 0 ? gpu::host::emulated_driver({.arch = options.emulated, .sealed = true})
                                       : std::make_shared<const DriverApi>(cuda_library());
    auto gpu = std::make_unique<CudaBackend>(std::move(driver), how, options.threads);
    card = gpu.get();
    owned = std::move(gpu);
  } else {
    owned = std::make_unique<CpuBackend>(options.threads, options.isa, Inputs::Floats);
  }
  Backend& backend = *owned;
  for (; at < argc; ++at) {
    std::string folder = argv[at];
    while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
    const Case one{folder, folder.substr(folder.find_last_of("/\\") + 1)};
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
  if (card && options.graphs && !card->card().graphs())
    std::printf("without graphs: %s\n", card->card().graph_note().c_str());
  if (card && !card->stage_note().empty()) std::printf("without stages: %s\n", card->stage_note().c_str());
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
