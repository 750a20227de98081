#pragma once

#include <string>

namespace moshi {

void expect(bool condition, const std::string& what);

void check_files();
void check_kernels();
void check_sampler();
void check_threads();
void check_topology();
// folder: a model in the published layout (the embedded default).
void check_runtime(const std::string& folder);
void check_speech(const std::string& tokenizer);

}  // namespace moshi
