#include "core/thread_pool.h"

#include <algorithm>
#include <system_error>

namespace moshi {

ThreadPool::ThreadPool(int threads) {
  workers_.reserve(static_cast<size_t>(std::max(1, threads)));
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // A process limit: the work is done by those that could be started.
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::drain(const std::function<void(int)>& task, int parts) {
  for (int part; (part = next_.fetch_add(1)) < parts;) task(part);
}

void ThreadPool::run(int parts, const std::function<void(int)>& task) {
  if (workers_.empty() || parts <= 1) {
    for (int part = 0; part < parts; ++part) task(part);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    task_ = &task;
    parts_ = parts;
    next_ = 0;
    busy_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  start_.notify_all();
  drain(task, parts);
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
  task_ = nullptr;
}

void ThreadPool::work() {
  uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    start_.wait(lock, [&] { return stopping_ || generation_ != seen; });
    if (stopping_) return;
    seen = generation_;
    const auto* task = task_;
    const int parts = parts_;
    lock.unlock();
    drain(*task, parts);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

}  // namespace moshi
