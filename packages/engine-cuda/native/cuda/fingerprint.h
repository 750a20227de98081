// What this build's kernels are made of, as `make fingerprint` says it. Images of other sources would take the bytes
// that the host hands them for something else.
#pragma once

namespace moshi {

extern const char* const kFingerprint;

}  // namespace moshi
