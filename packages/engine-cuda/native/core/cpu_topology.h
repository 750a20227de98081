// How many threads suit the machine and what the process may use of it.
#pragma once

#include <string>

namespace moshi {

// One per physical core, of the fast kind where there are two, within affinity and cgroup limits, and with a core left
// for audio and JavaScript on machines of four and more. root is put before /proc and /sys, for tests.
int suitable_threads(const std::string& root = "");

}  // namespace moshi
