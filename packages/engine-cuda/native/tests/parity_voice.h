#pragma once

#include <vector>

#include "model/lm.h"
#include "tests/parity.h"

namespace moshi {

// text: tokens of the case's role prompt.
void check_voices(const Case& one, Backend& backend, Report& report, const Lm& lm, const std::vector<int32_t>& text);

}  // namespace moshi
