// What the emulated driver reads of an image: for which GPUs it is, and the names of its kernels.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "cuda/driver.h"

namespace moshi::gpu::host {

struct EmulatedImage {
  std::string made_for;  // as "ptx sm_80"
  // Its kernels, with the most threads a block of each may have.
  std::map<std::string, int, std::less<>> kernels;
};

// What a driver would answer that runs `arch` and reads PTX up to version `ptx`; log is what its compiler would say.
cu::Status read_image(std::string_view text, int arch, int ptx, EmulatedImage& out, std::string& log);

// An image without code, with those of the host's kernels that it would have.
std::string stand_in_image(int arch, int ptx, bool cubin);

}  // namespace moshi::gpu::host
