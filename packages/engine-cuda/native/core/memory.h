// How much memory the process may still take, and how much it has.
#pragma once

#include <cstdint>
#include <string>

namespace moshi {

// Bytes: what the system says is available, or less where a cgroup's limit leaves less. No limit that is known of: the
// largest number. root is put before /proc and /sys, for tests.
uint64_t available_memory(const std::string& root = "");

// Bytes the process holds now, and the most it held since reset_peak_memory(), where the system tells; otherwise 0.
uint64_t resident_memory();
uint64_t peak_memory();
// False where the system cannot.
bool reset_peak_memory();

}  // namespace moshi
