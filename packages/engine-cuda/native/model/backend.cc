#include "model/backend.h"

#include <atomic>

namespace moshi {

uint64_t unique_number() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace moshi
