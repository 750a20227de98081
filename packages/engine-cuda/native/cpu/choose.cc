#include "cpu/choose.h"

#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "core/error.h"
#include "core/system.h"

namespace moshi {

namespace {

struct Choice {
  const Kernels& kernels;
  bool runs;
};

#if defined(__x86_64__)
// GCC 12 has no name for it: leaf 7, subleaf 1, EAX bit 4.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

// Best first.
std::vector<Choice> choices() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return {{kKernelsAvx512Vnni, avx512 && __builtin_cpu_supports("avx512vnni")},
          {kKernelsAvx512, avx512},
          {kKernelsAvx2Vnni, avx2 && has_avx_vnni()},
          {kKernelsAvx2, avx2},
          {kKernelsBaseline, true}};
#elif defined(__aarch64__)
  return {{kKernelsDotprod, system::has_dot_product()}, {kKernelsBaseline, true}};
#else
  return {{kKernelsBaseline, true}};
#endif
}

}  // namespace

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> out;
  for (const Choice& choice : choices())
    if (choice.runs) out.insert(out.begin(), &choice.kernels);
  return out;
}

const Kernels& choose_kernels(const char* isa) {
  const auto available = available_kernels();
  if (!isa) return *available.back();
  std::string names;
  for (const Kernels* kernels : available) {
    if (std::string_view(isa) == kernels->isa) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->isa);
  }
  throw Error(kBadOption, "this CPU does not run '" + printable(isa) + "' kernels, only " + names +
                              "; leave the choice to the engine");
}

}  // namespace moshi
