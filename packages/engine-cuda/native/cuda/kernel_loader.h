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
  // What the images that the driver takes are made for, 80 of sm_80: what such images lack is not there, whatever the
  // GPU could do.
  int arch() const { return taken_; }

 private:
  struct LoadedImage {
    Owned<cu::Module> module;
    int arch;
  };
  const LoadedImage& image(const std::string& file);
  LoadedImage load(const std::string& file);

  Context& context_;
  Images images_;
  int arch_;  // the GPU's
  std::map<std::string, LoadedImage> loaded_;
  std::map<std::string, LoadedKernel, std::less<>> kernels_;
  int taken_;
};

}  // namespace moshi
