#include "cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace moshi {

namespace {

Owned<void*> page_locked(Context& context) {
  void* memory = nullptr;
  context.call("cuMemHostAlloc", context.api().host_allocate, &memory, Staging::kPieceBytes, 0u);
  return {context, "cuMemFreeHost", context.api().host_free, memory};
}

Owned<cu::Event> make_event(Context& context) {
  cu::Event event = nullptr;
  context.call("cuEventCreate", context.api().event_create, &event, cu::kDisableTiming);
  return {context, "cuEventDestroy", context.api().event_destroy, event};
}

}  // namespace

Staging::Staging(Context& context, cu::Stream stream)
    : context_(context), stream_(stream), inbound_(page_locked(context)), arrived_(make_event(context)) {
  for (Piece& piece : ring_) {
    piece.memory = page_locked(context);
    piece.copied = make_event(context);
  }
}

void Staging::next() {
  context_.call("cuEventRecord", context_.api().event_record, ring_[piece_].copied.get(), stream_);
  ring_[piece_].in_use = true;
  Piece& after = ring_[(piece_ + 1) % kPieces];
  if (after.in_use) context_.call("cuEventSynchronize", context_.api().event_wait, after.copied.get());
  after.in_use = false;
  piece_ = (piece_ + 1) % kPieces;
  used_ = 0;
}

void Staging::write(cu::Address to, const void* host, size_t bytes) {
  constexpr size_t kAlignment = 64;
  for (const char* from = static_cast<const char*>(host); bytes > 0;) {
    if (used_ == kPieceBytes) next();
    const size_t part = std::min(bytes, kPieceBytes - used_);
    char* staged = static_cast<char*>(ring_[piece_].memory.get()) + used_;
    std::memcpy(staged, from, part);
    // Taken before the call, since a call that fails may have begun.
    used_ = std::min((used_ + part + kAlignment - 1) / kAlignment * kAlignment, kPieceBytes);
    context_.call("cuMemcpyHtoDAsync", context_.api().copy_in, to, staged, part, stream_);
    from += part;
    to += part;
    bytes -= part;
  }
}

void Staging::read(void* host, cu::Address from, size_t bytes, FunctionRef<void(FunctionRef<void()>)> apart) {
  for (char* to = static_cast<char*>(host); bytes > 0;) {
    const size_t part = std::min(bytes, kPieceBytes);
    context_.call("cuMemcpyDtoHAsync", context_.api().copy_out, inbound_.get(), from, part, stream_);
    context_.call("cuEventRecord", context_.api().event_record, arrived_.get(), stream_);
    cu::Status status = cu::kSuccess;
    apart([&] { status = context_.api().event_wait(arrived_.get()); });
    context_.check(status, "cuEventSynchronize");
    std::memcpy(to, inbound_.get(), part);
    from += part;
    to += part;
    bytes -= part;
  }
}

}  // namespace moshi
