// Which kernels run on this CPU.
#pragma once

#include <vector>

#include "cpu/kernels.h"

namespace moshi {

// Those this CPU runs, the best last.
std::vector<const Kernels*> available_kernels();

// The best, or the one asked for by name; throws Error(kBadOption) when it cannot.
const Kernels& choose_kernels(const char* isa = nullptr);

}  // namespace moshi
