// checks: what the golden cases cannot show: hostile files, kernels at odd shapes, sessions that come and go. Exit 1 on
// failure.
#include "tests/checks.h"

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace moshi {

namespace {
int failures = 0, passes = 0;
}

void expect(bool condition, const std::string& what) {
  ++(condition ? passes : failures);
  if (!condition) std::printf("FAIL  %s\n", what.c_str());
}

}  // namespace moshi

int main(int argc, char** argv) {
  try {
    moshi::check_files();
    moshi::check_formats();
    moshi::check_gguf();
    moshi::check_gpu_shim();
    moshi::check_gpu();
    moshi::check_gpu_linear();
    moshi::check_gpu_steps();
    moshi::check_gpu_streams();
    // On an emulated CPU the longest of them take minutes, and do there what they do elsewhere.
    const bool brief = std::getenv("MOSHI_BRIEF_CHECKS") != nullptr;
    if (!brief) moshi::check_gpu_gemm();
    if (!brief) moshi::check_gpu_stages();
    moshi::check_gpu_draw();
    moshi::check_gpu_driver(argc > 3 ? argv[3] : "");
    if (!brief) moshi::check_gpu_model();
    moshi::check_kernels();
    moshi::check_quant();
    moshi::check_quantize();
    moshi::check_sampler();
    moshi::check_system();
    moshi::check_threads();
    moshi::check_topology();
    moshi::check_bench(argc > 2 ? argv[2] : "");
    if (argc > 1) moshi::check_speech(std::string(argv[1]) + "/tokenizer.model");
    if (argc > 1) moshi::check_batch(argv[1]);
    if (argc > 1) moshi::check_runtime(argv[1]);
    if (argc > 1) moshi::check_eval(argv[1]);
  } catch (const std::exception& error) {
    moshi::expect(false, std::string("unexpected error: ") + error.what());
  }
  std::printf("%d native checks passed, %d failed\n", moshi::passes, moshi::failures);
  return moshi::failures ? 1 : 0;
}
