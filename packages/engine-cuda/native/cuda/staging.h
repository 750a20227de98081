// Page-locked memory between host and card: what is written is copied here first, so that writing never waits for the
// card, except for the piece of the ring it was to use again.
#pragma once

#include <array>
#include <cstddef>

#include "core/function_ref.h"
#include "cuda/context.h"

namespace moshi {

class Staging {
 public:
  static constexpr size_t kPieceBytes = 1 << 20, kPieces = 4;

  Staging(Context& context, cu::Stream stream);

  // Both in the order of the stream.
  void write(cu::Address to, const void* host, size_t bytes);
  // Waits until it is there: each time by apart(wait), whose wait() touches nothing that others change.
  void read(void* host, cu::Address from, size_t bytes, FunctionRef<void(FunctionRef<void()> wait)> apart);

 private:
  struct Piece {
    Owned<void*> memory;
    Owned<cu::Event> copied;
    bool in_use = false;  // the event stands behind copies out of it
  };
  void next();

  Context& context_;
  cu::Stream stream_;
  std::array<Piece, kPieces> ring_;
  size_t piece_ = 0, used_ = 0;
  Owned<void*> inbound_;
  Owned<cu::Event> arrived_;
};

}  // namespace moshi
