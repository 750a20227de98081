// A fixed set of worker threads for splitting one operation; the caller works too.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace moshi {

class ThreadPool {
 public:
  // threads counts the caller: 1 means no workers at all.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs task(part) for every part in [0, parts) and returns when all are done. One caller at a time; task must not
  // throw.
  void run(int parts, const std::function<void(int)>& task);

 private:
  void work();
  void drain(const std::function<void(int)>& task, int parts);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  const std::function<void(int)>* task_ = nullptr;
  int parts_ = 0, busy_ = 0;
  uint64_t generation_ = 0;
  std::atomic<int> next_{0};
  bool stopping_ = false;
};

}  // namespace moshi
