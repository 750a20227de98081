// One GPU as the backend uses it: its memory, one stream of work in order, the kernels, and graphs of recorded work.
// Any thread may use a card, one at a time. What fails throws Error; after kGpuLost every call throws the same again.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "core/function_ref.h"
#include "cuda/context.h"
#include "cuda/kernel_loader.h"
#include "cuda/staging.h"

namespace moshi {

struct CardOptions {
  int index = 0;        // as the driver counts
  bool graphs = true;   // whether program() records
  bool stages = true;   // whether small operations of a program become one launch
  std::string kernels;  // the folder of their images
};

struct LaunchShape {
  struct {
    int x = 1, y = 1, z = 1;
  } grid = {};
  int threads = 32;          // of a block
  size_t shared_bytes = 0;   // behind dynamic_shared()
  bool cooperative = false;  // all blocks are there at once, so that they may wait for one another
};

class Card {
 public:
  static constexpr size_t kMostGraphs = 128;

  Card(std::shared_ptr<const DriverApi> api, const CardOptions& options);
  ~Card();
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  int arch() const { return arch_; }                    // 80 of sm_80
  int kernels_arch() const { return kernels_.arch(); }  // what the kernels are made for: with an old driver, less
  int multiprocessors() const { return multiprocessors_; }
  size_t shared_limit() const { return shared_limit_; }  // bytes a block can have at most
  std::string name() const { return context_.name(); }
  bool lost() const { return context_.lost(); }

  // Zeroed, 256-byte aligned. What is freed is kept for the next one of its size, since the driver waits for the card
  // before it takes memory back.
  void* allocate(size_t bytes);
  // Of what allocate() gave, or null. Work that was given to the card before may still use it.
  void free(void* memory);
  // Gives the driver all that is kept.
  void give_back();
  // Bytes taken from the driver, with those that are kept; and the most there ever were.
  size_t allocated() const { return allocated_; }
  size_t most() const { return most_; }
  // Bytes that can be had: the driver's, and what is kept.
  size_t available();

  // These return at once and happen in the order of the calls, except that read() and wait() wait for all of it.
  void copy(void* to, const void* from, size_t bytes);
  // rows of `width` bytes, so far from one to the next.
  void copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows);
  void clear(void* at, size_t bytes);
  // host may be used again when it returns.
  void write(void* to, const void* host, size_t bytes);
  void read(void* host, const void* from, size_t bytes);
  // The same, for threads that take turns: it waits by apart(wait), and others may use the card meanwhile, but not
  // read.
  void read(void* host, const void* from, size_t bytes, FunctionRef<void(FunctionRef<void()> wait)> apart);
  void wait();

  // Kernel is the type of the function, as in decltype(rms_norm); arguments become exactly its parameters.
  template <typename Kernel, typename... A>
  void launch(const char* name, const LaunchShape& shape, const A&... arguments) {
    launch_as(static_cast<std::decay_t<Kernel>*>(nullptr), name, shape, arguments...);
  }
  // The most blocks of such a launch that are there at once, for cooperative ones; 0 where the GPU has none.
  int blocks_at_once(const char* name, int threads, size_t shared_bytes = 0);

  // Runs body. What it asks of the card is recorded the second time it comes with the same key, and from the third time
  // on only played again: the key has to hold everything that body depends on, such as addresses and counts. In it
  // memory may not be written from the host and nothing be waited for; only the first time it may allocate. When a
  // recording fails, body runs once more.
  void program(std::span<const uint64_t> key, FunctionRef<void()> body);
  // Records body and plays that once, whatever becomes of graphs; throws DriverError where that cannot be done.
  void play(FunctionRef<void()> body);
  // All that is recorded: programs are to be given in another way.
  void forget_programs();
  // False when they are not asked for, or when the driver cannot; the note then says why.
  bool graphs() const { return graphs_; }
  const std::string& graph_note() const { return graph_note_; }

 private:
  struct Recording {
    Owned<cu::GraphExec> graph;  // none: it has run once
    uint64_t used = 0;
  };
  // Orders keys whether they are kept or lent.
  struct ByKey {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    }
  };

  template <typename... P, typename... A>
  void launch_as(void (**)(P...), const char* name, const LaunchShape& shape, const A&... arguments) {
    static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
    std::tuple<P...> values(arguments...);
    std::apply(
        [&](P&... value) {
          void* parameters[] = {&value..., nullptr};
          run(name, shape, parameters);
        },
        values);
  }
  void run(const char* name, const LaunchShape& shape, void** parameters);
  LoadedKernel& kernel(const char* name, size_t shared_bytes);
  cu::Address take(size_t bytes);
  void give_back_kept();
  void only_outside(const char* what) const;
  bool record(Recording& recording, FunctionRef<void()> body);
  Owned<cu::GraphExec> recorded(FunctionRef<void()> body);
  Owned<cu::GraphExec> instantiate(const Owned<cu::Graph>& graph);
  void make_room();
  void without_graphs(const std::string& why);

  Context context_;
  int arch_, multiprocessors_;
  size_t shared_limit_;
  Owned<cu::Stream> stream_;
  Staging staging_;
  KernelLoader kernels_;

  std::unordered_map<void*, size_t> live_;
  std::multimap<size_t, void*> kept_;
  size_t allocated_ = 0, most_ = 0;

  bool graphs_;
  std::string graph_note_;
  std::map<std::vector<uint64_t>, Recording, ByKey> recordings_;
  uint64_t programs_ = 0;
  bool inside_ = false;     // of program()
  bool recording_ = false;  // what program() runs
};

// Launches a kernel of cuda/kernels/kernels.h on a card.
#define GPU_RUN(card, kernel, shape, ...) \
  (card).launch<decltype(::moshi::kernel)>(#kernel, shape __VA_OPT__(, ) __VA_ARGS__)

}  // namespace moshi
