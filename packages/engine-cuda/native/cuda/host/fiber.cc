#include "cuda/host/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#include "cuda/host/sanitizers.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace moshi::gpu::host {

namespace {

// Room for an exception's way up; sanitizers make frames several times as large.
#if defined(GPU_ASAN) || defined(GPU_TSAN)
constexpr size_t kStack = 256 * 1024;
#else
constexpr size_t kStack = 64 * 1024;
#endif

// The stack from which fibers were entered.
struct Outside {
  void* inside;  // where it goes on
  void* fake_stack;
  const void* stack;
  size_t bytes;
  void* thread;
  bool left;  // only just
};

thread_local Outside outside = {};
thread_local Fiber* running = nullptr;

}  // namespace

// moshi_switch(save, to): keeps what a call must keep on the stack, leaves the stack's address in *save and goes on
// where `to` was left. swapcontext would do too, at two system calls a switch. The label is for this file alone, so it
// takes no words of one object format.
#if defined(__x86_64__)
asm(R"(
.text
moshi_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" void moshi_switch(void** save, void* to) asm("moshi_switch");

static void* fresh(char* top, void (*main)()) {
  // Six registers, the address `ret` takes, and a caller that is none: the stack stands as just after a call.
  auto* frame = reinterpret_cast<void**>(top) - 8;
  for (int i = 0; i < 8; ++i) frame[i] = nullptr;
  frame[6] = reinterpret_cast<void*>(main);
  return frame;
}
#elif defined(__aarch64__)
asm(R"(
.text
moshi_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
extern "C" void moshi_switch(void** save, void* to) asm("moshi_switch");

static void* fresh(char* top, void (*main)()) {
  auto* frame = reinterpret_cast<void**>(top) - 20;
  for (int i = 0; i < 20; ++i) frame[i] = nullptr;
  frame[11] = reinterpret_cast<void*>(main);
  return frame;
}
#else
static void moshi_switch(void** save, void* to) {
  ucontext_t here;
  *save = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

static void* fresh(char* top, void (*main)()) {
  // The context lies at the top of the stack it describes.
  auto* context = reinterpret_cast<ucontext_t*>(reinterpret_cast<uintptr_t>(top - sizeof(ucontext_t)) & ~uintptr_t{63});
  getcontext(context);
  context->uc_stack.ss_sp = top - kStack;
  context->uc_stack.ss_size = static_cast<size_t>(reinterpret_cast<char*>(context) - (top - kStack));
  context->uc_link = nullptr;
  makecontext(context, main, 0);
  return context;
}
#endif

Fiber::Fiber(void (*entry)()) : entry_(entry) {
  // The lowest page stays out of bounds, so that a stack that grows too far ends there.
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bytes_ = kStack + page;
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, page, PROT_NONE);
  stack_ = static_cast<char*>(memory);
  restart();
}

Fiber::~Fiber() {
#if defined(GPU_TSAN)
  __tsan_destroy_fiber(thread_);
#endif
  ASAN_UNPOISON_MEMORY_REGION(stack_ + bytes_ - kStack, kStack);
  munmap(stack_, bytes_);
}

void Fiber::restart() {
  // What was left unfinished here still marks its frames, and counts as calls that have not returned.
  fake_stack_ = nullptr;
#if defined(GPU_TSAN)
  if (thread_) __tsan_destroy_fiber(thread_);
  thread_ = __tsan_create_fiber(0);
#endif
  ASAN_UNPOISON_MEMORY_REGION(stack_ + bytes_ - kStack, kStack);
  inside_ = fresh(stack_ + bytes_, main);
}

void Fiber::enter() {
  running = this;
  outside.left = true;
#if defined(GPU_ASAN)
  __sanitizer_start_switch_fiber(&outside.fake_stack, stack_ + bytes_ - kStack, kStack);
#endif
#if defined(GPU_TSAN)
  outside.thread = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(thread_, 0);
#endif
  moshi_switch(&outside.inside, inside_);
#if defined(GPU_ASAN)
  __sanitizer_finish_switch_fiber(outside.fake_stack, nullptr, nullptr);
#endif
}

void Fiber::go_on(Fiber& other) {
  running = &other;
#if defined(GPU_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_, other.stack_ + other.bytes_ - kStack, kStack);
#endif
#if defined(GPU_TSAN)
  __tsan_switch_to_fiber(other.thread_, 0);
#endif
  moshi_switch(&inside_, other.inside_);
  arrived();
}

void Fiber::leave() {
#if defined(GPU_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_, outside.stack, outside.bytes);
#endif
#if defined(GPU_TSAN)
  __tsan_switch_to_fiber(outside.thread, 0);
#endif
  moshi_switch(&inside_, outside.inside);
  arrived();
}

// The first thing on the fiber's own stack after each switch to it.
void Fiber::arrived() {
#if defined(GPU_ASAN)
  const void* stack;
  size_t bytes;
  __sanitizer_finish_switch_fiber(fake_stack_, &stack, &bytes);
  if (outside.left) outside.stack = stack, outside.bytes = bytes;
#endif
  outside.left = false;
}

void Fiber::main() {
  Fiber* self = running;
  self->arrived();
  self->entry_();
}

}  // namespace moshi::gpu::host
