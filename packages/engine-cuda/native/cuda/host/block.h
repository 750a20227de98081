// A block while it runs: its threads, whom they wait for, and the stacks they run on.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "cuda/gpu.h"
#include "cuda/host/fiber.h"
#include "cuda/host/shared_memory.h"

namespace moshi::gpu::host {

enum class State : uint8_t { Ready, Barrier, Warp, Done };

struct Copy {
  void* to;
  const void* from;
  int bytes, group;
};

struct Block;

struct Thread {
  Block* block;
  int index;
  Fiber* fiber = nullptr;  // none: it has not begun
  State state = State::Ready;
  Place place = {};
  uint32_t mask = 0;
  Operation operation = nullptr;
  std::vector<Copy> copies = {};  // asked for, not yet waited for
  int groups = 0;                 // committed
  uint64_t seen = 0;              // progress at the last look
  int idle = 0;                   // looks since
};

// Lanes of a warp that have come to the same call with the same mask.
struct Meeting {
  uint32_t mask = 0, arrived = 0;
  Operation operation = nullptr;
  Place place = {};
};

struct Block {
  int x, y, z;
  std::vector<Thread> threads = {};
  std::vector<Lane> lanes = {};                     // what each brings to its meeting
  std::vector<std::vector<Meeting>> meetings = {};  // by warp
  int at_barrier = 0;
  SharedMemory shared = {};
};

// Stacks are kept for the next launch.
class Stacks {
 public:
  explicit Stacks(void (*entry)()) : entry_(entry) {}
  Fiber& take() {
    if (idle_.empty()) {
      all_.push_back(std::make_unique<Fiber>(entry_));
      return *all_.back();
    }
    Fiber* out = idle_.back();
    idle_.pop_back();
    return *out;
  }
  void give(Fiber& fiber) { idle_.push_back(&fiber); }
  // Also those on which something was left unfinished.
  void take_back() {
    for (const auto& fiber : all_)
      if (std::find(idle_.begin(), idle_.end(), fiber.get()) == idle_.end()) {
        fiber->restart();
        give(*fiber);
      }
  }

 private:
  void (*entry_)();
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> idle_;
};

}  // namespace moshi::gpu::host
