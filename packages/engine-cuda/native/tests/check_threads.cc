// The thread pool: every part once, whatever comes between the runs (also under ThreadSanitizer).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "core/thread_pool.h"
#include "tests/checks.h"

namespace moshi {

namespace {

// Runs of random sizes with random gaps; true when every part ran once and in a thread with a valid index.
bool runs_all(ThreadPool& pool, int rounds, std::mt19937& random) {
  bool sound = true;
  for (int round = 0; round < rounds; ++round) {
    const int parts = static_cast<int>(random() % 3 == 0 ? random() % 200 : random() % 12);
    // Plain counters: two threads in one part are a race that ThreadSanitizer reports.
    std::vector<int> count(static_cast<size_t>(parts));
    std::atomic<bool> strays{false};
    const int effort = static_cast<int>(random() % 300);
    pool.run(parts, [&](int part) {
      for (std::atomic<int> i{0}; i.load(std::memory_order_relaxed) < effort;)
        i.fetch_add(1, std::memory_order_relaxed);
      if (part < 0 || part >= parts || ThreadPool::worker() < 0 || ThreadPool::worker() >= pool.threads())
        strays = true;
      else
        ++count[static_cast<size_t>(part)];
    });
    sound &= !strays && std::all_of(count.begin(), count.end(), [](int n) { return n == 1; });
    switch (random() % 64) {
      case 0:  // long enough for the workers to be parked
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        break;
      case 1:  // about when they are about to be
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 60));
        break;
      case 2:
        std::this_thread::yield();
        break;
    }
  }
  return sound;
}

void check_nested(ThreadPool& pool) {
  ThreadPool other(2);
  std::vector<int> same(20 * 7), foreign(20 * 7);
  std::atomic<bool> moved{false};
  pool.run(20, [&](int part) {
    const int worker = ThreadPool::worker();
    const auto self = std::this_thread::get_id();
    pool.run(7, [&](int inner) {
      ++same[static_cast<size_t>(part * 7 + inner)];
      if (ThreadPool::worker() != worker || std::this_thread::get_id() != self) moved = true;
    });
    other.run(7, [&](int inner) {
      ++foreign[static_cast<size_t>(part * 7 + inner)];
      if (ThreadPool::worker() != 0 || std::this_thread::get_id() != self) moved = true;
      pool.run(1, [&](int) {
        if (ThreadPool::worker() != worker) moved = true;
      });
    });
    if (ThreadPool::worker() != worker) moved = true;
  });
  const auto once = [](int n) { return n == 1; };
  expect(std::all_of(same.begin(), same.end(), once), "pool: a run within a part does every part once");
  expect(std::all_of(foreign.begin(), foreign.end(), once), "pool: so does a run of another pool within a part");
  expect(!moved, "pool: a run within a part stays in its thread");
  expect(ThreadPool::worker() == 0, "pool: no worker outside of a run");
}

}  // namespace

void check_threads() {
  std::mt19937 random(11);
  for (const int threads : {0, 1, 2, 3, 9}) {
    ThreadPool pool(threads);
    const std::string name = "pool of " + std::to_string(threads);
    expect(pool.threads() == std::max(1, threads), name + ": has as many threads as asked for");
    expect(runs_all(pool, 1500, random), name + ": every part runs once");
    check_nested(pool);
  }

  // Each part waits for the other, so two threads must be at it, also when they have to be woken for it.
  ThreadPool pair(2);
  bool together = true;
  for (int round = 0; round < 20; ++round) {
    if (round % 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> arrived{0};
    std::atomic<int> workers{0};
    pair.run(2, [&](int) {
      ++arrived;
      while (arrived.load() < 2) std::this_thread::yield();
      workers += ThreadPool::worker();
    });
    together &= workers == 1;
  }
  expect(together, "pool: parts run at the same time, in threads of different index");

  // Pools that end at once, while parked, and while spinning.
  for (int round = 0; round < 60; ++round) {
    ThreadPool brief(4);
    if (round % 3) brief.run(8, [](int) {});
    if (round % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }

  // One caller a pool, pools side by side.
  std::atomic<bool> sound{true};
  const auto side = [&](unsigned seed) {
    ThreadPool own(3);
    std::mt19937 source(seed);
    if (!runs_all(own, 300, source)) sound = false;
  };
  std::thread first(side, 1), second(side, 2);
  first.join();
  second.join();
  expect(sound, "pool: two pools do not disturb each other");
}

}  // namespace moshi
