// fiber.h over Windows' own fibers, which know what its exceptions need of a stack.
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <new>

#include "cuda/host/fiber.h"

namespace moshi::gpu::host {

namespace {

// Only reserved: what is not used takes no memory.
constexpr SIZE_T kCommitted = 16 * 1024, kStack = 256 * 1024;

// From which fibers were entered.
thread_local void* outside = nullptr;

}  // namespace

Fiber::Fiber(void (*entry)()) : entry_(entry) {
  restart();
}

Fiber::~Fiber() {
  ::DeleteFiber(inside_);
}

void Fiber::restart() {
  if (inside_) ::DeleteFiber(inside_);
  inside_ = ::CreateFiberEx(
      kCommitted, kStack, FIBER_FLAG_FLOAT_SWITCH, [](void* self) { static_cast<Fiber*>(self)->entry_(); }, this);
  if (!inside_) throw std::bad_alloc();
}

void Fiber::enter() {
  outside = ::IsThreadAFiber() ? ::GetCurrentFiber() : ::ConvertThreadToFiberEx(nullptr, FIBER_FLAG_FLOAT_SWITCH);
  ::SwitchToFiber(inside_);
}

void Fiber::go_on(Fiber& other) {
  ::SwitchToFiber(other.inside_);
}

void Fiber::leave() {
  ::SwitchToFiber(outside);
}

}  // namespace moshi::gpu::host
