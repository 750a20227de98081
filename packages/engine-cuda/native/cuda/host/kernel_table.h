// The kernels by name, as an image for a GPU has them.
#pragma once

#include <functional>
#include <span>
#include <string_view>

namespace moshi::gpu::host {

struct HostKernel {
  const char* name;
  // What one thread does, with copies of the parameters that these point to.
  std::function<void()> (*bind)(void** parameters);
};

std::span<const HostKernel> host_kernels();
// Null when there is none of that name.
const HostKernel* host_kernel(std::string_view name);

}  // namespace moshi::gpu::host
