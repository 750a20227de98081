// checks: what the golden cases cannot show: hostile files, kernels at odd shapes, sessions that come and go. Exit 1 on
// failure.
#include "tests/checks.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "cuda/host/sanitizers.h"

namespace moshi {

namespace {
int failures = 0, passes = 0;
}

void expect(bool condition, const std::string& what) {
  ++(condition ? passes : failures);
  if (!condition) std::printf("FAIL  %s\n", what.c_str());
}

}  // namespace moshi

namespace {

struct Arguments {
  std::string model, fixtures, images;  // folders, "" for none
};

enum Where {
  kEverywhere,
  // Runs kernels on the host, whose threads are fibers of one: the sanitizer of threads has nothing to say about them,
  // and takes a hundred times as long.
  kFibers,
  // As well, and for so long that an emulated CPU takes minutes, where they do what they do elsewhere.
  kLongFibers,
};

struct Check {
  const char* name;
  void (*run)(const Arguments& with);
  Where where = kEverywhere;
};

const Check kChecks[] = {
    {"files", [](const Arguments&) { moshi::check_files(); }},
    {"formats", [](const Arguments&) { moshi::check_formats(); }},
    {"gguf", [](const Arguments&) { moshi::check_gguf(); }},
    {"gpu-shim", [](const Arguments&) { moshi::check_gpu_shim(); }},
    {"gpu", [](const Arguments&) { moshi::check_gpu(); }, kFibers},
    {"gpu-linear", [](const Arguments&) { moshi::check_gpu_linear(); }, kFibers},
    {"gpu-steps", [](const Arguments&) { moshi::check_gpu_steps(); }, kFibers},
    {"gpu-streams", [](const Arguments&) { moshi::check_gpu_streams(); }, kFibers},
    {"gpu-gemm", [](const Arguments&) { moshi::check_gpu_gemm(); }, kLongFibers},
    {"gpu-stages", [](const Arguments&) { moshi::check_gpu_stages(); }, kLongFibers},
    {"gpu-draw", [](const Arguments&) { moshi::check_gpu_draw(); }, kFibers},
    {"gpu-driver", [](const Arguments& with) { moshi::check_gpu_driver(with.images); }},
    {"gpu-model", [](const Arguments&) { moshi::check_gpu_model(); }, kLongFibers},
    {"gpu-bench", [](const Arguments&) { moshi::check_gpu_bench(); }, kLongFibers},
    {"kernels", [](const Arguments&) { moshi::check_kernels(); }},
    {"quant", [](const Arguments&) { moshi::check_quant(); }},
    {"quantize", [](const Arguments&) { moshi::check_quantize(); }},
    {"sampler", [](const Arguments&) { moshi::check_sampler(); }},
    {"system", [](const Arguments&) { moshi::check_system(); }},
    {"threads", [](const Arguments&) { moshi::check_threads(); }},
    {"topology", [](const Arguments&) { moshi::check_topology(); }},
    {"bench", [](const Arguments& with) { moshi::check_bench(with.fixtures); }},
    {"speech",
     [](const Arguments& with) {
       if (!with.model.empty()) moshi::check_speech(with.model + "/tokenizer.model");
     }},
    {"batch",
     [](const Arguments& with) {
       if (!with.model.empty()) moshi::check_batch(with.model);
     }},
    {"runtime",
     [](const Arguments& with) {
       if (!with.model.empty()) moshi::check_runtime(with.model);
     }},
    {"eval",
     [](const Arguments& with) {
       if (!with.model.empty()) moshi::check_eval(with.model);
     }},
};

}  // namespace

int main(int argc, char** argv) {
  const Arguments with{argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : ""};
  const bool brief = std::getenv("MOSHI_BRIEF_CHECKS") != nullptr;
  for (const Check& check : kChecks) {
    if ((check.where != kEverywhere && moshi::gpu::host::kThreadSanitizer) || (check.where == kLongFibers && brief)) {
      std::printf("%-12s skipped\n", check.name);
      continue;
    }
    const auto started = std::chrono::steady_clock::now();
    try {
      check.run(with);
    } catch (const std::exception& error) {
      moshi::expect(false, std::string(check.name) + ": unexpected error: " + error.what());
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
    std::printf("%-12s %6.1f s\n", check.name, taken.count());
    std::fflush(stdout);
  }
  std::printf("%d native checks passed, %d failed\n", moshi::passes, moshi::failures);
  return moshi::failures ? 1 : 0;
}
