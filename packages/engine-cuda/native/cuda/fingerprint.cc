#include "cuda/fingerprint.h"

namespace moshi {

const char* const kFingerprint = MOSHI_FINGERPRINT;

}  // namespace moshi
