// The yardstick on a GPU: memory of its own that is copied from one place to another.
#pragma once

#include <cstdint>

#include "model/backend.h"
#include "runtime/yardstick.h"

namespace moshi {

class PlainCopier : public Yardstick {
 public:
  // About `bytes` are read by a copy, and as many written. Throws Error when there is no memory.
  PlainCopier(Backend& backend, uint64_t bytes);

  // What is read and what is written count alike.
  double pass() override;

 private:
  Backend& backend_;
  Buffer from_, to_;
};

// Waits until a device has done all that it was asked for before.
void settle(Backend& backend, const Buffer& any);

}  // namespace moshi
