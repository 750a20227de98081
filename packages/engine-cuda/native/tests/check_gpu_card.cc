// A card on the emulated driver: memory, copies, launches and recorded programs.
#include <chrono>
#include <cstring>
#include <future>
#include <numeric>
#include <thread>
#include <vector>

#include "cuda/card.h"
#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "cuda/kernels/kernels.h"
#include "tests/check_gpu_driver.h"
#include "tests/check_tools.h"

namespace moshi {

using gpu::host::emulated_driver;
using gpu::host::emulated_report;

namespace {

using Bytes = std::vector<unsigned char>;

Bytes counted(size_t count) {
  Bytes out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<unsigned char>(i * 31 + i / 251);
  return out;
}

Bytes read(Card& card, const void* from, size_t bytes) {
  Bytes out(bytes, 0x77);
  card.read(out.data(), from, bytes);
  return out;
}

char* bytes_of(void* memory) {
  return static_cast<char*>(memory);
}

void check_memory(Card& card) {
  void* first = card.allocate(1000);
  expect(reinterpret_cast<uintptr_t>(first) % 256 == 0, "memory of a card is aligned to 256 bytes");
  expect(read(card, first, 1000) == Bytes(1000, 0), "memory of a card is zeroed");
  const Bytes data = counted(1000);
  card.write(first, data.data(), 1000);
  const size_t held = card.allocated();
  expect(held == 1024 && emulated_report().memory == held, "a card counts what it holds");
  card.free(first);
  void* again = card.allocate(1001);
  expect(again == first, "memory that was freed serves the next request of its size");
  expect(read(card, again, 1001) == Bytes(1001, 0), "and is zeroed again");
  expect(card.allocated() == held, "and is counted once");
  void* other = card.allocate(5000);
  expect(other != first && card.most() == held + 5120, "a card knows the most it ever held");
  card.free(other);
  card.free(again);
  card.give_back();
  expect(card.allocated() == 0 && card.most() == held + 5120 && emulated_report().memory == 0,
         "a card gives back all that is kept");
  expect(refused([&] { card.free(again); }), "memory cannot be freed twice");
  card.free(nullptr);
  card.free(card.allocate(0));
  // Left for the card to free.
  card.allocate(10);
}

void check_copies(Card& card) {
  const Bytes data = counted(1200);
  char* a = bytes_of(card.allocate(1200));
  char* b = bytes_of(card.allocate(1200));
  Bytes scratch = data;
  card.write(a, scratch.data(), scratch.size());
  std::fill(scratch.begin(), scratch.end(), 0);
  card.copy(b, a + 100, 1000);
  card.clear(b + 10, 5);
  Bytes want(data.begin() + 100, data.begin() + 1100);
  std::fill_n(want.begin() + 10, 5, 0);
  expect(read(card, b, 1000) == want, "copies and clearing happen in the order of the calls");
  // Columns 3 to 9 of three rows of 20 go to the start of rows of 50.
  card.clear(b, 1200);
  card.copy_rows(b, 50, a + 3, 20, 7, 3);
  want.assign(200, 0);
  for (size_t row = 0; row < 3; ++row) std::memcpy(want.data() + row * 50, data.data() + row * 20 + 3, 7);
  expect(read(card, b, 200) == want, "rows are copied from one pitch to another");
  card.copy_rows(b, 1, a, 1, 90, 1);
  card.copy(a, b, 0);
  card.clear(a, 0);
  card.copy_rows(a, 5, b, 5, 0, 3);
  expect(read(card, b, 90) == Bytes(data.begin(), data.begin() + 90), "one row needs no pitch");
  card.free(a);
  card.free(b);
}

// More than the ring of page-locked memory holds, in odd parts, while nothing of it is done yet.
void check_ring(Card& card) {
  const size_t total = 3 * Staging::kPieces * Staging::kPieceBytes + 12345;
  const Bytes data = counted(total);
  char* memory = bytes_of(card.allocate(total));
  size_t at = 0;
  for (size_t part = 1; at < total; part = part * 7 % 1'500'007 + 1) {
    part = std::min(part, total - at);
    Bytes lent(data.begin() + static_cast<ptrdiff_t>(at), data.begin() + static_cast<ptrdiff_t>(at + part));
    card.write(memory + at, lent.data(), part);
    std::fill(lent.begin(), lent.end(), 0xee);
    at += part;
  }
  expect(read(card, memory, total) == data, "what is written arrives whole, however often the ring goes round");
  card.free(memory);
}

struct Norms {
  static constexpr int kRows = 3, kDim = 70;
  static constexpr size_t kBytes = sizeof(float) * kRows * kDim;
  explicit Norms(Card& card)
      : card(card),
        x(static_cast<float*>(card.allocate(kBytes))),
        y(static_cast<float*>(card.allocate(kBytes))),
        weight(static_cast<float*>(card.allocate(kDim * sizeof(float)))) {
    std::vector<float> ones(kDim, 1.0f);
    card.write(weight, ones.data(), kDim * sizeof(float));
    set(1);
  }
  ~Norms() {
    for (float* memory : {x, y, weight}) card.free(memory);
  }
  void set(float first) {
    std::vector<float> values(kRows * kDim);
    std::iota(values.begin(), values.end(), first);
    host_x = values;
    card.write(x, values.data(), kBytes);
  }
  void run() {
    // The row count and eps are of other types than the kernel's parameters.
    GPU_RUN(card, rms_norm, LaunchShape{.grid = {kRows}, .threads = 64}, x, weight, 1e-5, y, int64_t{kDim});
    GPU_RUN(card, add_scaled, (LaunchShape{.grid = {2, kRows}}), y, x, nullptr, kDim);
  }
  bool right() {
    std::vector<float> ones(kDim, 1.0f), want(kRows * kDim), got(kRows * kDim);
    gpu::host::launch({.kernel = "norm", .grid = {kRows}, .threads = 64}, rms_norm, host_x.data(), ones.data(), 1e-5f,
                      want.data(), kDim);
    for (size_t i = 0; i < want.size(); ++i) want[i] += host_x[i];
    card.read(got.data(), y, kBytes);
    return got == want;
  }
  Card& card;
  float *x, *y, *weight;
  std::vector<float> host_x;
};

void check_launches(Card& card) {
  Norms norms(card);
  norms.run();
  expect(norms.right(), "kernels run on a card with the arguments they are given");
  const LaunchShape shape{.grid = {Norms::kRows}, .threads = 64};
  card.launch<decltype(&rms_norm)>("rms_norm", shape, norms.x, norms.weight, 1e-5f, norms.y, Norms::kDim);
  expect(refusal([&] {
           card.launch<decltype(rms_norm)>("none_such", shape, norms.x, norms.x, 1, norms.y, 1);
         }).find("none_such") != std::string::npos,
         "a kernel that is not there is named");
  const auto with_shared = [&](size_t bytes) {
    LaunchShape wide = shape;
    wide.shared_bytes = bytes;
    GPU_RUN(card, rms_norm, wide, norms.x, norms.weight, 1e-5f, norms.y, Norms::kDim);
  };
  with_shared(60 << 10);
  with_shared(100 << 10);
  with_shared(50 << 10);
  card.wait();
  expect(refusal([&] { with_shared(164 << 10); }).find("shared memory") != std::string::npos,
         "more shared memory than a block can have is refused");
  expect(code([&] {
           GPU_RUN(card, rms_norm, LaunchShape{.threads = 2048}, norms.x, norms.weight, 1e-5f, norms.y, 1);
         }) == kGpuDriver,
         "what the driver refuses is an error");
  expect(card.blocks_at_once("rms_norm", 256) == 8, "a card knows how many blocks are there at once");
  LaunchShape together = shape;
  together.cooperative = true;
  GPU_RUN(card, rms_norm, together, norms.x, norms.weight, 1e-5f, norms.y, Norms::kDim);
  card.wait();
}

void check_programs(Card& card) {
  Norms norms(card);
  const uint64_t key[] = {1, 2}, other[] = {1, 3};
  int runs = 0;
  const auto play = [&](std::span<const uint64_t> of) {
    card.program(of, [&] {
      ++runs;
      card.clear(norms.y, Norms::kBytes);
      norms.run();
    });
    return norms.right();
  };
  const int before = emulated_report().graphs;
  const auto played = [&] { return emulated_report().graphs - before; };
  expect(play(key) && runs == 1 && played() == 0, "a program that is seen first is run");
  norms.set(5);
  expect(play(key) && runs == 2 && played() == 1, "the second time it is recorded and played");
  norms.set(-3);
  expect(play(key) && runs == 2 && played() == 2, "from then on it is played");
  expect(play(other) && play(other) && runs == 4 && played() == 3, "another key is another program");
  expect(play(key) && runs == 4 && played() == 4, "which leaves the first where it is");
  // A program within another is part of it.
  const uint64_t outer[] = {9};
  for (int i = 0; i < 3; ++i) card.program(outer, [&] { card.program(key, [&] { norms.run(); }); });
  expect(norms.right() && played() == 6, "a program within another is recorded with it");

  const uint64_t growing[] = {78};
  void* grown = nullptr;
  card.program(growing, [&] { grown = card.allocate(1); });
  expect(refused([&] { card.program(growing, [&] { card.allocate(1); }); }) && grown,
         "a program can allocate the first time, and not while it is recorded");
  card.free(grown);
  char value = 0;
  for (const uint64_t round : {1, 2, 3}) {
    const uint64_t mine[] = {77, round / 3};
    const std::string when = ", call " + std::to_string(round);
    expect(refused([&] { card.program(mine, [&] { card.read(&value, norms.x, 1); }); }),
           "a program cannot read" + when);
    expect(refused([&] { card.program(mine, [&] { card.write(norms.x, &value, 1); }); }), "nor write" + when);
    expect(refused([&] { card.program(mine, [&] { card.wait(); }); }), "nor wait" + when);
    expect(refused([&] { card.program(mine, [&] { card.give_back(); }); }), "nor give memory back" + when);
    card.program(mine, [&] { norms.run(); });
  }
  expect(card.graphs() && play(key), "a mistake in a program leaves graphs as they are");

  // So many that the oldest go, without a wait in between.
  for (uint64_t i = 0; i < Card::kMostGraphs + 3; ++i)
    for (int twice = 0; twice < 2; ++twice) {
      const uint64_t mine[] = {1000, i};
      card.program(mine, [&] { card.clear(norms.y, 4); });
    }
  runs = 0;
  expect(play(key) && runs == 1, "the graph that was not used for the longest goes");
}

void check_without_graphs(const std::string& kernels) {
  const auto api = emulated_driver();
  const auto thrice = [](Card& card) {
    Norms norms(card);
    const uint64_t key[] = {1};
    bool right = true;
    for (const float first : {3.0f, 1.0f, 2.0f}) {
      norms.set(first);
      card.program(key, [&] { norms.run(); });
      right &= norms.right();
    }
    return right;
  };
  {
    Card card(api, {.graphs = false, .kernels = kernels});
    expect(thrice(card) && !card.graphs() && card.graph_note().empty() && emulated_report().graphs == 0,
           "graphs can be switched off");
  }
  auto old = std::make_shared<DriverApi>(*api);
  old->capture_begin = nullptr;
  {
    Card card(old, {.kernels = kernels});
    expect(thrice(card) && !card.graphs() && !card.graph_note().empty(), "a driver without graphs is none the worse");
  }
  old = std::make_shared<DriverApi>(*api);
  old->graph_instantiate = nullptr;
  {
    Card card(old, {.kernels = kernels});
    expect(thrice(card) && card.graphs() && emulated_report().graphs == 2, "the old way to make a graph will do");
  }
  for (const char* call : {"cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphLaunch"}) {
    Card card(api, {.kernels = kernels});
    gpu::host::set_emulated_fault({.call = call, .which = 1, .status = cu::kNotSupported});
    expect(
        thrice(card) && emulated_report().failed && !card.graphs() && card.graph_note().find(call) != std::string::npos,
        std::string("without ") + call + " work is given step by step, and the note says so");
  }
  {
    // The third launch of the first kernel is the second within a recording.
    Card card(api, {.kernels = kernels});
    gpu::host::set_emulated_fault({.call = "cuLaunchKernel", .which = 4, .status = cu::kNotSupported});
    expect(thrice(card) && emulated_report().failed && !card.graphs(),
           "work that cannot be recorded is done all the same");
  }
  expect(emulated_report().mistakes.empty(), "and nothing is left behind");
}

void check_threads_and_cards(const std::string& kernels) {
  const auto api = emulated_driver({.cards = 2});
  Card first(api, {.kernels = kernels}), second(api, {.index = 1, .kernels = kernels});
  Norms a(first), b(second);
  b.set(4);
  a.run();
  b.run();
  expect(a.right() && b.right(), "two cards on one thread do not mix up");
  api->context_set(nullptr);
  b.set(2);
  b.run();
  expect(b.right(), "a card does not mind what else the thread does with the driver");
  bool right = false;
  std::thread([&] {
    a.set(8);
    a.run();
    right = a.right();
  }).join();
  expect(right, "any thread may use a card");
  expect(code([&] { Card third(api, {.index = 2, .kernels = kernels}); }) == kBadOption,
         "a card that is not there is refused");
}

std::promise<void> waits, allocated;
cu::Status (*wait_for_event)(cu::Event);

// A session begins on another thread while the engine's waits for its frame.
void check_turns(const std::string& kernels) {
  const auto api = emulated_driver();
  auto slow = std::make_shared<DriverApi>(*api);
  waits = {}, allocated = {};
  wait_for_event = api->event_wait;
  bool meanwhile = false;
  {
    CudaBackend backend(slow, {.kernels = kernels}, 1);
    const Buffer values = backend.allocate(4);
    slow->event_wait = [](cu::Event event) {
      waits.set_value();
      return allocated.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready
                 ? wait_for_event(event)
                 : cu::kUnknown;
    };
    std::thread engine([&] {
      float value = 1;
      meanwhile = !refused([&] { backend.read(&value, values.data(), 1); }) && value == 0;
    });
    waits.get_future().wait();
    const bool had = !refused([&] { backend.allocate(4); });
    allocated.set_value();
    engine.join();
    meanwhile &= had;
  }
  expect(meanwhile && emulated_report().mistakes.empty(), "memory can be had while another thread waits for the card");
}

}  // namespace

void check_gpu_card(const std::string& kernels) {
  for (const gpu::host::Order order :
       {gpu::host::Order{}, {gpu::host::Order::Reverse, 0}, {gpu::host::Order::Random, 1}}) {
    const auto api = emulated_driver({.order = order});
    {
      Card card(api, {.kernels = kernels});
      expect(card.arch() == 80 && card.multiprocessors() == 1 && card.shared_limit() == 163 << 10 &&
                 card.name().find("sm_80") != std::string::npos,
             "a card tells what it is");
      check_memory(card);
      check_copies(card);
      check_ring(card);
      check_launches(card);
      check_programs(card);
    }
    for (const std::string& mistake : emulated_report().mistakes)
      // The two that check_launches() makes on purpose.
      expect(mistake.find("with blocks that no GPU has") != std::string::npos, "no mistake of a card's: " + mistake);
  }
  check_without_graphs(kernels);
  check_threads_and_cards(kernels);
  check_turns(kernels);
}

}  // namespace moshi
