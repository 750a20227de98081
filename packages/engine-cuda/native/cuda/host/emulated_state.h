// What the emulated driver's functions share: GPUs, streams, and what was made on them. Handles are numbers that never
// come again, so that one which is used too long is found out.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "cuda/host/emulated_driver.h"
#include "cuda/host/emulated_image.h"
#include "cuda/host/emulated_memory.h"
#include "cuda/host/kernel_table.h"

#define EMULATED extern "C" cu::Status

namespace moshi::gpu::host {

// The driver's functions with the types that the table has them as; seen from outside where they are a library.
#define MOSHI_DECLARE(function, needed, name, ...) \
  extern "C" __attribute__((visibility("default"))) std::remove_pointer_t<decltype(DriverApi::function)> name;
MOSHI_DRIVER_FUNCTIONS(MOSHI_DECLARE)
#undef MOSHI_DECLARE

// Of shared memory, what a block gets unasked.
inline constexpr size_t kUsualShared = 48 << 10;

// Work that fails on the GPU kills its context.
struct DeadlyFault {
  cu::Status status;
  std::string text;
};

using Work = std::function<void()>;

struct EmulatedEvent {
  size_t recorded = 0, passed = 0;  // how often
  cu::Stream stream = nullptr;      // where last
};

struct Capture {
  std::thread::id thread;
  bool spoiled = false;
  std::vector<Work> work = {};
};

struct EmulatedStream {
  std::deque<Work> queue;
  std::optional<Capture> capture;
};

struct EmulatedFunction {
  const HostKernel* kernel;
  int most_threads;
  cu::Module module;
  size_t shared = kUsualShared;  // bytes it may ask for
};

struct EmulatedGraph {
  std::shared_ptr<std::vector<Work>> work;
  std::shared_ptr<int> playing;  // launches that wait in a stream; of graphs that can be launched
};

// A GPU with its context.
struct EmulatedCard {
  EmulatedCard(size_t memory, bool sealed) : memory(memory, sealed), host(SIZE_MAX) {}
  int holders = 0;
  cu::Context context = nullptr;
  cu::Status dead = cu::kSuccess;
  EmulatedMemory memory, host;
  std::map<cu::Stream, EmulatedStream> streams;
  std::map<cu::Event, EmulatedEvent> events;
  std::map<cu::Module, EmulatedImage> modules;
  std::map<cu::Function, EmulatedFunction> functions;
  std::map<cu::Graph, EmulatedGraph> graphs;
  std::map<cu::GraphExec, EmulatedGraph> execs;
};

struct Emulated {
  explicit Emulated(const EmulatedOptions& options);
  EmulatedOptions options;
  EmulatedReport report;
  std::vector<std::unique_ptr<EmulatedCard>> cards;
  bool initialized = false;
  int matching = 0;  // calls the fault might have been for
  size_t handles = 0;
  std::string last_words;  // what killed a context

  template <typename Handle>
  Handle handle() {
    return reinterpret_cast<Handle>(++handles << 8);
  }
  void mistake(const std::string& what) { report.mistakes.push_back(what); }
};

void start_emulated(const EmulatedOptions& options);
void stop_emulated();

// A call from outside: holds the lock, is refused when the fault is due, and knows the calling thread's card.
class Call {
 public:
  enum Kind : uint8_t { Makes, GivesBack };
  // What gives something back does so also when it is refused, as a real driver's calls do.
  explicit Call(const char* name, Kind kind = Makes);

  // False, with what to answer, when the call cannot go on: for one of the driver, of a context, and of a context from
  // which nothing is being recorded by this thread, lest that be spoiled.
  bool begins();
  bool on_card();
  bool outside_captures();
  // What the call returns: `status`, unless it was refused.
  cu::Status answer(cu::Status status = cu::kSuccess) const { return refusal_ != cu::kSuccess ? refusal_ : status; }
  // Notes what the program did wrong.
  cu::Status wrong(const std::string& what, cu::Status status = cu::kInvalidValue) const;

  static Emulated& driver();
  static cu::Context current();
  static void make_current(cu::Context context);
  EmulatedCard& card() const { return *card_; }
  EmulatedCard* card_of(cu::Context context) const;
  // The stream, noting when there is none.
  EmulatedStream* stream(cu::Stream handle) const;

  // Puts work into a stream, or into what is being recorded from it.
  cu::Status submit(cu::Stream stream, Work work) const;
  // Runs what waits in a stream until `done`, or all that waits on the card; the context dies of what fails.
  template <typename Done>
  cu::Status drain(EmulatedStream& stream, Done done) const {
    const auto opened = card_->memory.open();
    while (!done() && !stream.queue.empty())
      if (const cu::Status status = run_first(stream); status != cu::kSuccess) return status;
    return cu::kSuccess;
  }
  cu::Status drain() const;

 private:
  cu::Status run_first(EmulatedStream& stream) const;

  const char* name_;
  Kind kind_;
  std::unique_lock<std::recursive_mutex> lock_;
  cu::Status refusal_ = cu::kSuccess;
  EmulatedCard* card_ = nullptr;
};

// Of a table, what a handle stands for; null when it never did or does no more.
template <typename Handle, typename T>
T* look_up(std::map<Handle, T>& table, Handle handle) {
  const auto found = table.find(handle);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace moshi::gpu::host
