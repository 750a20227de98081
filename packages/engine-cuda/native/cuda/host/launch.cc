#include "cuda/host/launch.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "cuda/gpu.h"
#include "cuda/host/block.h"

namespace moshi::gpu::host {

constinit thread_local Here here = {};

namespace {

// Rounds of all threads in which nothing but waiting has happened.
constexpr int kPatience = 1000;

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column();
}

std::string at(const Place& place) {
  const char* name = std::strrchr(place.file_name(), '/');
  return std::string(name ? name + 1 : place.file_name()) + ":" + std::to_string(place.line());
}

class Run {
 public:
  Run(const Launch& how, FunctionRef<void()> body) : how_(how), body_(body), random_(how.order.seed) {}
  void all();

  void barrier(const Place& place);
  void together(uint32_t mask, Operation operation, const Lane& lane, const Place& place);
  void spin(const Place& place);
  [[noreturn]] void fault(const Thread& thread, const std::string& what) const;

  static Stacks& stacks();
  size_t shared_bytes() const { return how_.shared_bytes; }

  Thread* current = nullptr;
  uint64_t progress = 0;

 private:
  static void work();
  void finish(Thread& thread);
  Thread* next();
  void turn_to(Thread& thread);
  void pause();
  void run(std::vector<Block>& blocks);
  void prepare(Block& block);
  void arrange(std::vector<size_t>& order);
  void explain(const std::vector<Block>& blocks) const;
  std::string missing(const Block& block, const Thread& waiting, int lane) const;

  const Launch& how_;
  FunctionRef<void()> body_;
  std::mt19937_64 random_;
  std::exception_ptr failure_;
  // In what order threads have their turns, who is next, how many have not ended, and whether anybody moved in this
  // round.
  std::vector<Thread*> threads_;
  std::vector<size_t> order_;
  size_t at_ = 0, alive_ = 0;
  bool moved_ = false;
};

thread_local Run* run_of_thread = nullptr;

void Run::fault(const Thread& thread, const std::string& what) const {
  const Block& b = *thread.block;
  throw GpuFault("kernel " + std::string(how_.kernel) + ", block (" + std::to_string(b.x) + ", " + std::to_string(b.y) +
                 ", " + std::to_string(b.z) + "), thread " + std::to_string(thread.index) + ": " + what);
}

Stacks& Run::stacks() {
  thread_local Stacks out(work);
  return out;
}

// What a fiber does: one thread after the other from its beginning. One that pauses keeps the fiber, and another fiber
// goes on with the others.
void Run::work() {
  for (;;) {
    Run& run = *run_of_thread;
    Thread& thread = *run.current;
    Fiber& mine = *thread.fiber;
    try {
      run.body_();
      run.finish(thread);
    } catch (...) {
      run.failure_ = std::current_exception();
    }
    thread.state = State::Done;
    ++run.progress;
    --run.alive_;
    Thread* const next = run.failure_ ? nullptr : run.next();
    if (next && !next->fiber) {
      next->fiber = &mine;
      run.turn_to(*next);
      continue;
    }
    stacks().give(mine);
    if (!next) {
      mine.leave();
      continue;
    }
    run.turn_to(*next);
    mine.go_on(*next->fiber);
  }
}

// The next in line who can go on; null when all have ended, or nobody can.
Thread* Run::next() {
  for (;;) {
    while (at_ < order_.size()) {
      Thread* const thread = threads_[order_[at_++]];
      if (thread->state != State::Ready) continue;
      moved_ = true;
      return thread;
    }
    if (alive_ == 0 || !moved_) return nullptr;
    arrange(order_);
    at_ = 0;
    moved_ = false;
  }
}

void Run::turn_to(Thread& thread) {
  current = &thread;
  const Block& block = *thread.block;
  here.thread = thread.index;
  here.block[0] = block.x, here.block[1] = block.y, here.block[2] = block.z;
}

// The others' turn, until the calling thread's comes again.
void Run::pause() {
  Thread& mine = *current;
  Thread* const next = this->next();
  if (next == &mine) return;
  if (!next) return mine.fiber->leave();
  if (!next->fiber) next->fiber = &stacks().take();
  turn_to(*next);
  mine.fiber->go_on(*next->fiber);
}

void Run::finish(Thread& thread) {
  if (!thread.copies.empty()) fault(thread, "ends without async_wait() for its async_copy()");
}

void Run::barrier(const Place& place) {
  Thread& mine = *current;
  Block& block = *mine.block;
  mine.place = place;
  mine.state = State::Barrier;
  ++progress;
  if (++block.at_barrier == how_.threads) {
    for (const Thread& other : block.threads)
      if (!same(other.place, place))
        fault(mine, "divergent barrier: at " + at(place) + " while thread " + std::to_string(other.index) +
                        " is at another at " + at(other.place));
    for (Thread& other : block.threads) other.state = State::Ready;
    block.at_barrier = 0;
  }
  pause();
}

void Run::together(uint32_t mask, Operation operation, const Lane& lane, const Place& place) {
  Thread& mine = *current;
  const int first = mine.index / kWarp * kWarp;
  mine.place = place;
  if (!(mask >> mine.index % kWarp & 1)) fault(mine, "the mask at " + at(place) + " does not name the caller");
  if (how_.threads - first < kWarp && mask >> (how_.threads - first))
    fault(mine, "the mask at " + at(place) + " names lanes that the block does not have");
  mine.state = State::Warp;
  mine.mask = mask;
  mine.operation = operation;
  mine.block->lanes[static_cast<size_t>(mine.index)] = lane;
  ++progress;
  std::vector<Meeting>& meetings = mine.block->meetings[static_cast<size_t>(first / kWarp)];
  auto meeting = std::find_if(meetings.begin(), meetings.end(), [&](const Meeting& m) {
    return m.mask == mask && m.operation == operation && same(m.place, place);
  });
  if (meeting == meetings.end()) meeting = meetings.insert(meeting, {mask, 0, operation, place});
  meeting->arrived |= 1u << mine.index % kWarp;
  // The last to come goes on at once; that others are not there yet is judged when nobody can move any more.
  if (meeting->arrived != mask) return pause();
  meetings.erase(meeting);
  operation(mask, &mine.block->lanes[static_cast<size_t>(first)]);
  Thread* const warp = &mine.block->threads[static_cast<size_t>(first)];
  for (uint32_t left = mask; left != 0; left &= left - 1) warp[std::countr_zero(left)].state = State::Ready;
}

void Run::spin(const Place& place) {
  Thread& mine = *current;
  mine.idle = mine.seen == progress ? mine.idle + 1 : 0;
  mine.seen = progress;
  if (mine.idle > kPatience)
    fault(mine, "deadlock: waits at " + at(place) + " for what nobody writes" +
                    (how_.cooperative ? "" : "; only a cooperative launch has all blocks there at once"));
  pause();
}

// Lines up who is to run, anew for each round.
void Run::arrange(std::vector<size_t>& order) {
  if (how_.order.kind == Order::Random) std::shuffle(order.begin(), order.end(), random_);
}

std::string Run::missing(const Block& block, const Thread& waiting, int lane) const {
  const Thread& other = block.threads[static_cast<size_t>(waiting.index / kWarp * kWarp + lane)];
  const std::string who = "lane " + std::to_string(lane);
  switch (other.state) {
    case State::Done:
      return who + " has exited";
    case State::Barrier:
      return who + " waits at the block's barrier at " + at(other.place);
    case State::Warp:
      if (other.mask != waiting.mask || other.operation != waiting.operation || !same(other.place, waiting.place))
        return who + " is at another call or with another mask, at " + at(other.place);
      return "";
    case State::Ready:
      return "";
  }
  return "";
}

// Nobody can move: says who waits for whom.
void Run::explain(const std::vector<Block>& blocks) const {
  for (const Block& block : blocks) {
    for (const Thread& t : block.threads) {
      if (t.state != State::Warp) continue;
      for (int lane = 0; lane < kWarp; ++lane) {
        if (!(t.mask >> lane & 1)) continue;
        const std::string why = missing(block, t, lane);
        if (!why.empty())
          fault(t, "deadlock: the warp call at " + at(t.place) + " waits for a lane of its mask: " + why);
      }
    }
    const auto waiting = std::find_if(block.threads.begin(), block.threads.end(),
                                      [](const Thread& t) { return t.state == State::Barrier; });
    if (waiting == block.threads.end()) continue;
    fault(*waiting, "divergent barrier: " + std::to_string(how_.threads - block.at_barrier) + " threads exited, " +
                        std::to_string(block.at_barrier) + " wait at " + at(waiting->place));
  }
}

// As a block stands before its threads begin.
void Run::prepare(Block& block) {
  const auto threads = static_cast<size_t>(how_.threads), warps = (threads + kWarp - 1) / kWarp;
  block.shared.clear();
  block.at_barrier = 0;
  block.threads.resize(threads);
  block.lanes.resize(warps * kWarp);
  block.meetings.resize(warps);
  for (auto& meetings : block.meetings) meetings.clear();
  for (size_t i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    std::vector<Copy> copies = std::move(thread.copies);
    copies.clear();
    thread = {.block = &block, .index = static_cast<int>(i), .copies = std::move(copies)};
  }
}

void Run::run(std::vector<Block>& blocks) {
  threads_.clear();
  for (Block& block : blocks) {
    prepare(block);
    for (Thread& thread : block.threads) threads_.push_back(&thread);
  }
  order_.resize(threads_.size());
  std::iota(order_.begin(), order_.end(), 0);
  if (how_.order.kind == Order::Reverse) std::reverse(order_.begin(), order_.end());
  arrange(order_);
  at_ = 0;
  alive_ = threads_.size();
  moved_ = false;
  here = {0, how_.threads, {}, {how_.grid.x, how_.grid.y, how_.grid.z}};
  Thread& first = *next();
  first.fiber = &stacks().take();
  turn_to(first);
  first.fiber->enter();
  if (failure_) std::rethrow_exception(failure_);
  if (alive_ > 0) explain(blocks);
  for (const Block& block : blocks) {
    const Thread& first = block.threads[0];
    if (const char* name = block.shared.overrun())
      fault(first, "something was written outside the shared array '" + std::string(name) + "'");
    if (block.shared.bytes() > how_.shared_limit)
      fault(first, "needs " + std::to_string(block.shared.bytes()) + " bytes of shared memory, " +
                       std::to_string(how_.shared_limit) + " are there");
  }
}

void Run::all() {
  const Grid& grid = how_.grid;
  const std::string name = "kernel " + std::string(how_.kernel) + ": ";
  if (how_.threads < 1 || how_.threads > 1024) throw GpuFault(name + "a block has 1 to 1024 threads");
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.y > 65535 || grid.z > 65535)
    throw GpuFault(name + "a grid has at least one block each way, and at most 65535 in y and z");
  std::vector<size_t> order(static_cast<size_t>(grid.x) * static_cast<size_t>(grid.y) * static_cast<size_t>(grid.z));
  std::iota(order.begin(), order.end(), 0);
  if (how_.order.kind == Order::Reverse) std::reverse(order.begin(), order.end());
  arrange(order);
  std::vector<Block> blocks(how_.cooperative ? order.size() : 1);
  for (size_t i = 0; i < order.size(); ++i) {
    const int index = static_cast<int>(order[i]);
    Block& block = blocks[how_.cooperative ? i : 0];
    block.x = index % grid.x;
    block.y = index / grid.x % grid.y;
    block.z = index / grid.x / grid.y;
    if (!how_.cooperative) run(blocks);
  }
  if (how_.cooperative) run(blocks);
}

}  // namespace

void run(const Launch& how, FunctionRef<void()> thread) {
  Run run(how, thread);
  // Also on the way of an exception: no later call may find this run.
  struct Current {
    explicit Current(Run* run) { run_of_thread = run; }
    ~Current() {
      run_of_thread = nullptr;
      Run::stacks().take_back();
    }
  } current(&run);
  run.all();
}

void fault(const char* what) {
  run_of_thread->fault(*run_of_thread->current, what);
}

void barrier(const Place& place) {
  run_of_thread->barrier(place);
}

void together(uint32_t mask, Operation operation, const Lane& lane, const Place& place) {
  run_of_thread->together(mask, operation, lane, place);
}

void* shared_array(const char* site, const char* name, size_t bytes) {
  return run_of_thread->current->block->shared.array(site, name, bytes);
}

void* dynamic_shared() {
  static const char site = 0;
  return shared_array(&site, "dynamic_shared()", run_of_thread->shared_bytes());
}

void progress() {
  ++run_of_thread->progress;
}

void spin(const Place& place) {
  run_of_thread->spin(place);
}

void async_copy(void* to, const void* from, int bytes) {
  Thread& mine = *run_of_thread->current;
  mine.copies.push_back({to, from, bytes, mine.groups});
}

void async_commit() {
  ++run_of_thread->current->groups;
}

// Only now: whoever reads without waiting finds nothing.
void async_wait(int left) {
  Thread& mine = *run_of_thread->current;
  std::erase_if(mine.copies, [&](const Copy& copy) {
    if (copy.group >= mine.groups - left) return false;
    std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
    return true;
  });
}

}  // namespace moshi::gpu::host
