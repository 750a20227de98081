#pragma once

#include <string>

namespace moshi {

void expect(bool condition, const std::string& what);

void check_files();
void check_formats();
void check_gguf();
void check_gpu();
void check_gpu_bench();
void check_gpu_gemm();
void check_gpu_draw();
void check_gpu_linear();
void check_gpu_model();
void check_gpu_shim();
void check_gpu_stages();
void check_gpu_steps();
void check_gpu_streams();
void check_kernels();
void check_quant();
void check_quantize();
void check_sampler();
void check_system();
void check_threads();
void check_topology();
// images: the folder of the GPU kernels that were built; empty: without those.
void check_gpu_driver(const std::string& images);
// fixtures: the folder of golden cases; empty: without those.
void check_bench(const std::string& fixtures);
// folder: a model in the published layout (the embedded default).
void check_batch(const std::string& folder);
void check_runtime(const std::string& folder);
void check_eval(const std::string& folder);
void check_speech(const std::string& tokenizer);

}  // namespace moshi
