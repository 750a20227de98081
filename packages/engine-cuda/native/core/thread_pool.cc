#include "core/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>

namespace moshi {

namespace {

using Clock = std::chrono::steady_clock;

// Long enough for the gaps within a frame, short beside the rest of its 80 ms.
constexpr auto kSpin = std::chrono::microseconds(50);
// A caller that waits longer shares its core with the worker it waits for, or with somebody else's thread.
constexpr auto kPatience = std::chrono::microseconds(20);
constexpr int kPausesPerLook = 16;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // `yield` does nothing on most cores
#endif
}

// Set once in a worker; null in every other thread.
thread_local const ThreadPool* home_pool = nullptr;
thread_local int home_index = 0;
// The pool whose part the current thread is in; a worker is always in one.
thread_local const ThreadPool* current_pool = nullptr;

class Within {
 public:
  explicit Within(const ThreadPool* pool) : outer_(current_pool) { current_pool = pool; }
  ~Within() { current_pool = outer_; }
  Within(const Within&) = delete;
  Within& operator=(const Within&) = delete;

 private:
  const ThreadPool* outer_;
};

}  // namespace

int ThreadPool::worker() {
  return current_pool == home_pool ? home_index : 0;
}

ThreadPool::ThreadPool(int threads) {
  workers_.reserve(static_cast<size_t>(std::max(1, threads)));
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error&) {
    // A process limit: the work is done by those that could be started.
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  wake();
  for (auto& worker : workers_) worker.join();
}

// Takes parts until none is left. What is written here for one run cannot change before its parts are reported
// finished.
void ThreadPool::drain() {
  int finished = 0;
  for (int left = unclaimed_.load(std::memory_order_relaxed); left > 0;) {
    if (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acquire, std::memory_order_relaxed))
      continue;
    (*task_)(parts_ - left);
    ++finished;
    left = unclaimed_.load(std::memory_order_relaxed);
  }
  if (finished > 0) unfinished_.fetch_sub(finished, std::memory_order_release);
}

void ThreadPool::run(int parts, Task task) {
  if (parts <= 0) return;
  // One part alone leaves the workers to whatever it runs itself.
  if (parts == 1 && !current_pool) return task(0);
  const bool nested = current_pool != nullptr;
  const Within scope(this);
  if (nested || workers_.empty()) {
    for (int part = 0; part < parts; ++part) task(part);
    return;
  }
  task_ = &task;
  parts_ = parts;
  unfinished_.store(parts, std::memory_order_relaxed);
  // Sequentially consistent, like the look at parked_ and their counterparts in wait_for_work: either the worker sees
  // the parts or we see that it sleeps.
  unclaimed_.store(parts);
  if (parked_.load() > 0) wake();
  drain();
  if (unfinished_.load(std::memory_order_acquire) == 0) return;
  for (const auto start = Clock::now();;) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (unfinished_.load(std::memory_order_acquire) == 0) return;
      pause();
    }
    if (Clock::now() - start > kPatience) std::this_thread::yield();
  }
}

void ThreadPool::wake() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    parked_.store(0);
    ++wakes_;
  }
  woken_.notify_all();
}

// True when there may be a part to take, false when the pool ends.
bool ThreadPool::wait_for_work() {
  for (const auto start = Clock::now(); Clock::now() - start < kSpin;)
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (stopping_.load(std::memory_order_relaxed)) return false;
      if (unclaimed_.load(std::memory_order_relaxed) > 0) return true;
      pause();
    }
  std::unique_lock<std::mutex> lock(mutex_);
  ++parked_;
  if (stopping_.load() || unclaimed_.load() > 0) {
    --parked_;
    return !stopping_.load();
  }
  // Whoever wakes sets parked_ to 0, and one who is woken too late for this run spins for the next.
  woken_.wait(lock, [this, seen = wakes_] { return wakes_ != seen; });
  return true;
}

void ThreadPool::work(int index) {
  home_pool = current_pool = this;
  home_index = index;
  while (wait_for_work()) drain();
}

}  // namespace moshi
