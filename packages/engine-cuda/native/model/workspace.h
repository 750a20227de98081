// Working memory in the order of a stack: what a call took is free again when it returns, so that one layer uses the
// memory, still in the cache, of the one before.
#pragma once

#include <algorithm>
#include <vector>

#include "model/backend.h"

namespace moshi {

// The memory itself; one for every thread that works for a backend.
class Workspace {
 public:
  struct Mark {
    size_t chunk = 0, used = 0;
  };
  Mark mark() const { return top_; }
  void release(const Mark& mark) { top_ = mark; }
  float* take(Backend& backend, int64_t count) {
    // Whole cache lines, so that vectors lie in one.
    const size_t size = (static_cast<size_t>(count) + 15) / 16 * 16;
    while (top_.chunk < chunks_.size() && top_.used + size > chunks_[top_.chunk].count()) top_ = {top_.chunk + 1, 0};
    if (top_.chunk == chunks_.size()) chunks_.push_back(backend.allocate(std::max(size, kChunk)));
    float* out = chunks_[top_.chunk].data() + top_.used;
    top_.used += size;
    return out;
  }

 private:
  static constexpr size_t kChunk = size_t{1} << 18;

  std::vector<Buffer> chunks_;
  Mark top_;
};

// What one call takes of it.
class Working {
 public:
  explicit Working(Backend& backend) : backend_(backend), workspace_(backend.workspace()), mark_(workspace_.mark()) {}
  ~Working() { workspace_.release(mark_); }
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;

  // Not zeroed.
  float* floats(int64_t count) { return workspace_.take(backend_, count); }
  int32_t* ints(int64_t count) { return array<int32_t>(count); }
  template <typename T>
  T* array(int64_t count) {
    return reinterpret_cast<T*>(floats(count * static_cast<int64_t>(sizeof(T)) / 4 + 1));
  }
  // A copy of what the host has.
  template <typename T>
  T* placed(std::span<const T> host) {
    T* out = array<T>(static_cast<int64_t>(host.size()));
    backend_.write(out, host.data(), static_cast<int64_t>(host.size()));
    return out;
  }

 private:
  Backend& backend_;
  Workspace& workspace_;
  Workspace::Mark mark_;
};

}  // namespace moshi
