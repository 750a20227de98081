// A function that can pause and be resumed: one thread of a GPU block, on the host. A fiber stays on the system thread
// that made it.
#pragma once

#include <cstddef>

namespace moshi::gpu::host {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next resume() calls entry(argument), which must not throw. Whatever ran here before is forgotten, its
  // destructors too.
  void start(void (*entry)(void*), void* argument);
  // Runs it until it pauses or entry returns.
  void resume();
  // From within: back to where resume() was called.
  void pause();

 private:
  static void main();
  void arrived();

  char* stack_ = nullptr;
  size_t bytes_ = 0;
  void* inside_ = nullptr;   // where the fiber goes on
  void* outside_ = nullptr;  // where its caller goes on
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool resting_ = false;  // its last entry has returned

  // The sanitizers' view of both stacks.
  void *fake_inside_ = nullptr, *fake_outside_ = nullptr;
  const void* caller_stack_ = nullptr;
  size_t caller_bytes_ = 0;
  void *thread_inside_ = nullptr, *thread_outside_ = nullptr;
};

}  // namespace moshi::gpu::host
