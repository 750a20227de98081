// The emulated driver's memory, and what is copied in it.
#include <cstring>

#include "cuda/host/emulated_state.h"

namespace moshi::gpu::host {

namespace {

std::byte* pointer(cu::Address address) {
  return reinterpret_cast<std::byte*>(address);
}

// Judged when the work is done, as by a GPU.
void expect_held(const EmulatedMemory& memory, const void* at, size_t bytes, const char* what) {
  if (!memory.holds(at, bytes))
    throw DeadlyFault{cu::kIllegalAddress,
                      std::string(what) + ": " + std::to_string(bytes) + " bytes do not lie within one allocation"};
}

}  // namespace

EMULATED cuMemGetInfo_v2(size_t* free, size_t* total) {
  Call call("cuMemGetInfo");
  if (!call.on_card()) return call.answer();
  *total = call.card().memory.limit();
  *free = *total - call.card().memory.used();
  return cu::kSuccess;
}

EMULATED cuMemAlloc_v2(cu::Address* out, size_t bytes) {
  Call call("cuMemAlloc");
  if (!call.outside_captures()) return call.answer();
  if (bytes == 0) return call.wrong("asks for nothing");
  void* memory = call.card().memory.take(bytes);
  if (!memory) return cu::kOutOfMemory;
  *out = reinterpret_cast<cu::Address>(memory);
  return cu::kSuccess;
}

// Waits for the card, as a real one does.
EMULATED cuMemFree_v2(cu::Address at) {
  Call call("cuMemFree", Call::GivesBack);
  if (!call.outside_captures()) return call.answer();
  const cu::Status status = call.drain();
  if (const std::string what = call.card().memory.give(pointer(at)); !what.empty()) return call.wrong(what);
  return call.answer(status);
}

EMULATED cuMemHostAlloc(void** out, size_t bytes, unsigned) {
  Call call("cuMemHostAlloc");
  if (!call.outside_captures()) return call.answer();
  *out = call.card().host.take(bytes);
  return *out ? cu::kSuccess : cu::kOutOfMemory;
}

EMULATED cuMemFreeHost(void* memory) {
  Call call("cuMemFreeHost", Call::GivesBack);
  if (!call.outside_captures()) return call.answer();
  const cu::Status status = call.drain();
  if (const std::string what = call.card().host.give(memory); !what.empty()) return call.wrong(what);
  return call.answer(status);
}

EMULATED cuMemcpyDtoDAsync_v2(cu::Address to, cu::Address from, size_t bytes, cu::Stream stream) {
  Call call("cuMemcpyDtoDAsync");
  if (!call.on_card()) return call.answer();
  return call.submit(stream, [&memory = call.card().memory, to = pointer(to), from = pointer(from), bytes] {
    expect_held(memory, from, bytes, "cuMemcpyDtoDAsync, what is read");
    expect_held(memory, to, bytes, "cuMemcpyDtoDAsync, what is written");
    // Which of two that overlap is read first, nobody says.
    if (from < to + bytes && to < from + bytes && from != to)
      throw DeadlyFault{cu::kIllegalAddress, "cuMemcpyDtoDAsync between places that overlap"};
    std::memmove(to, from, bytes);
  });
}

EMULATED cuMemcpy2DAsync_v2(const cu::Copy2D* how, cu::Stream stream) {
  Call call("cuMemcpy2DAsync");
  if (!call.on_card()) return call.answer();
  if (how->from_kind != cu::kDevice || how->to_kind != cu::kDevice || how->from_pitch < how->width ||
      how->to_pitch < how->width || how->from_x || how->from_y || how->to_x || how->to_y)
    return call.wrong("a shape that is none, or none of ours");
  return call.submit(stream, [&memory = call.card().memory, how = *how] {
    for (size_t row = 0; row < how.rows; ++row) {
      const std::byte* from = pointer(how.from) + row * how.from_pitch;
      std::byte* to = pointer(how.to) + row * how.to_pitch;
      expect_held(memory, from, how.width, "cuMemcpy2DAsync, what is read");
      expect_held(memory, to, how.width, "cuMemcpy2DAsync, what is written");
      std::memmove(to, from, how.width);
    }
  });
}

EMULATED cuMemcpyHtoDAsync_v2(cu::Address to, const void* from, size_t bytes, cu::Stream stream) {
  Call call("cuMemcpyHtoDAsync");
  if (!call.on_card()) return call.answer();
  const auto copy = [&memory = call.card().memory, to = pointer(to), bytes](const void* source) {
    expect_held(memory, to, bytes, "cuMemcpyHtoDAsync, what is written");
    std::memcpy(to, source, bytes);
  };
  // Page-locked memory is read when it is its turn, any other at once.
  if (EmulatedMemory& host = call.card().host; host.holds(from, bytes))
    return call.submit(stream, [copy, &host, from, bytes] {
      expect_held(host, from, bytes, "cuMemcpyHtoDAsync, what is read");
      copy(from);
    });
  const auto* first = static_cast<const std::byte*>(from);
  return call.submit(stream, [copy, bytes = std::vector<std::byte>(first, first + bytes)] { copy(bytes.data()); });
}

EMULATED cuMemcpyDtoHAsync_v2(void* to, cu::Address from, size_t bytes, cu::Stream handle) {
  Call call("cuMemcpyDtoHAsync");
  if (!call.on_card()) return call.answer();
  EmulatedStream* stream = call.stream(handle);
  if (!stream) return cu::kInvalidHandle;
  EmulatedMemory& host = call.card().host;
  const bool page_locked = host.holds(to, bytes);
  const cu::Status status =
      call.submit(handle, [&memory = call.card().memory, &host, page_locked, to, from = pointer(from), bytes] {
        expect_held(memory, from, bytes, "cuMemcpyDtoHAsync, what is read");
        if (page_locked) expect_held(host, to, bytes, "cuMemcpyDtoHAsync, what is written");
        std::memcpy(to, from, bytes);
      });
  if (page_locked || stream->capture || status != cu::kSuccess) return status;
  return call.drain(*stream, [] { return false; });
}

EMULATED cuMemsetD8Async(cu::Address at, unsigned char value, size_t bytes, cu::Stream stream) {
  Call call("cuMemsetD8Async");
  if (!call.on_card()) return call.answer();
  return call.submit(stream, [&memory = call.card().memory, at = pointer(at), value, bytes] {
    expect_held(memory, at, bytes, "cuMemsetD8Async");
    std::memset(at, value, bytes);
  });
}

}  // namespace moshi::gpu::host
