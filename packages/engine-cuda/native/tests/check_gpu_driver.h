// What the checks of cards and their driver share.
#pragma once

#include <string>

#include "core/error.h"

namespace moshi {

// Part of check_gpu_driver(). kernels: a folder of images.
void check_gpu_card(const std::string& kernels);

// Part of check_gpu_model().
void check_gpu_faults(const std::string& kernels);

// The code of what task threw; empty when it threw nothing.
template <typename Task>
std::string code(Task task) {
  try {
    task();
    return {};
  } catch (const Error& error) {
    return error.code();
  }
}

}  // namespace moshi
