#include <cstring>

#include "core/error.h"
#include "cpu/kernels.h"

namespace moshi {

const Kernels& choose_kernels(const char* isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (isa ? std::strcmp(isa, "avx512") == 0 && avx512 : avx512) return kKernelsAvx512;
  if (isa ? std::strcmp(isa, "avx2") == 0 && avx2 : avx2) return kKernelsAvx2;
#endif
  if (isa && std::strcmp(isa, "baseline") != 0)
    throw Error(kBadOption, std::string("this CPU does not run '") + isa + "' kernels; leave the choice to the engine");
  return kKernelsBaseline;
}

}  // namespace moshi
