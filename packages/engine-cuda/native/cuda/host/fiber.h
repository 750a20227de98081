// A function that can pause and be resumed: one thread of a GPU block, on the host. A fiber stays on the system thread
// that made it.
#pragma once

#include <cstddef>

namespace moshi::gpu::host {

class Fiber {
 public:
  // The first switch to it calls entry(), which must neither return nor throw.
  explicit Fiber(void (*entry)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next switch to it calls entry() anew. Whatever ran here before is forgotten, its destructors too.
  void restart();
  // Runs it, and those it goes on to, until one of them leaves.
  void enter();
  // From within: on to another one, and back to where enter() was called.
  void go_on(Fiber& other);
  void leave();

 private:
  static void main();
  void arrived();

  char* stack_ = nullptr;
  size_t bytes_ = 0;
  void* inside_ = nullptr;  // where it goes on
  void (*entry_)();

  // The sanitizers' view of it.
  void* fake_stack_ = nullptr;
  [[maybe_unused]] void* thread_ = nullptr;
};

}  // namespace moshi::gpu::host
