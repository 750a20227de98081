// Finds kernels by name, loading the files they are in when the first of them is needed.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "cuda/context.h"
#include "cuda/images.h"

namespace moshi {

struct LoadedKernel {
  cu::Function function = nullptr;
  size_t fixed_shared = 0;    // bytes of shared memory its own arrays take
  size_t granted_shared = 0;  // bytes a launch may ask for besides
};

class KernelLoader {
 public:
  KernelLoader(Context& context, const std::string& folder, int arch);

  LoadedKernel& find(std::string_view name);

 private:
  cu::Module module(const std::string& file);
  Owned<cu::Module> load(const std::string& file);

  Context& context_;
  Images images_;
  int arch_;
  std::map<std::string, Owned<cu::Module>> modules_;
  std::map<std::string, LoadedKernel, std::less<>> kernels_;
};

}  // namespace moshi
