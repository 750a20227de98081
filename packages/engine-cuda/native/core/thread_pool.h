// A fixed set of worker threads for splitting one operation; the caller works too. A frame is hundreds of operations
// with microseconds between them, so workers spin for the next one and are parked only when a while passes without.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "core/function_ref.h"

namespace moshi {

class ThreadPool {
 public:
  using Task = FunctionRef<void(int part)>;

  // threads counts the caller: 1 means no workers at all.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs task(part) for every part in [0, parts) and returns when all are done. Parts go, in order, to whoever is free:
  // more parts than threads even out cores of different speed. One caller at a time; task must not throw. Called
  // within a part, of whichever pool, it is a plain loop.
  void run(int parts, Task task);

  // The current thread's index in the pool it is working for, below its threads(); 0 for a caller and any other thread.
  static int worker();

 private:
  void work(int index);
  void drain();
  bool wait_for_work();
  void wake();

  // The counters that threads fight over, each on a cache line of its own.
  alignas(64) std::atomic<int> unclaimed_{0};  // parts nobody has taken
  alignas(64) std::atomic<int> unfinished_{0};
  alignas(64) std::atomic<int> parked_{0};  // changed under mutex_
  std::atomic<bool> stopping_{false};
  // Written before unclaimed_ rises, read by those who took a part, and steady until the last of them has finished.
  const Task* task_ = nullptr;
  int parts_ = 0;

  std::mutex mutex_;
  std::condition_variable woken_;
  uint64_t wakes_ = 0;
  std::vector<std::thread> workers_;
};

}  // namespace moshi
