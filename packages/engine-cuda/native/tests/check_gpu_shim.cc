// What cuda/host must notice, each shown by a kernel that is wrong on purpose; and that its collective calls mean what
// PTX says.
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <vector>

#include "cuda/gpu.h"
#include "cuda/host/launch.h"
#include "cuda/host/sanitizers.h"
#include "tests/checks.h"
#include "tests/gpu_words.h"

namespace moshi {

namespace {

using namespace gpu;
using gpu::host::GpuFault;
using gpu::host::Launch;
using gpu::host::Order;

constexpr Order kOrders[] = {{Order::Forward, 0}, {Order::Reverse, 0}, {Order::Random, 1}, {Order::Random, 2}};

// The message of the fault, or "".
std::string fault_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const GpuFault& fault) {
    return fault.what();
  }
  return "";
}

template <typename... P, typename... A>
void expect_fault(const std::string& name, const std::string& part, Launch how, void (*kernel)(P...), A... arguments) {
  for (const Order order : kOrders) {
    how.order = order;
    const std::string message = fault_of([&] { host::launch(how, kernel, arguments...); });
    expect(message.find(part) != std::string::npos && message.find(how.kernel) != std::string::npos,
           name + " is a fault: '" + message + "'");
  }
}

// Each thread leaves a value and reads its neighbour's.
GPU_KERNEL(1024) neighbours(int* out, bool wait) {
  GPU_SHARED(int, values, 1024);
  values[thread()] = 3 * thread();
  if (wait) barrier();
  out[thread()] = values[(thread() + 1) % threads()];
}

void check_missing_barrier() {
  const auto results = [](bool wait) {
    std::vector<std::vector<int>> all;
    for (const Order order : kOrders) {
      all.emplace_back(96);
      host::launch({.kernel = "neighbours", .threads = 96, .order = order}, neighbours, all.back().data(), wait);
    }
    return all;
  };
  const auto right = results(true), wrong = results(false);
  bool sound = true;
  for (const auto& out : right)
    for (int i = 0; i < 96; ++i) sound &= out[static_cast<size_t>(i)] == 3 * ((i + 1) % 96);
  expect(sound, "a barrier makes every order give the same");
  expect(wrong[0] != wrong[1] && wrong[0] != wrong[2] && wrong[2] != wrong[3],
         "without its barrier a kernel depends on the order");
  expect(wrong[0][0] == -1, "shared memory nobody has written reads as -1");
}

GPU_KERNEL(1024) early_exit() {
  if (thread() >= 40) return;
  barrier();
}
GPU_KERNEL(1024) two_barriers() {
  if (thread() % 2)
    barrier();
  else
    barrier();
}
GPU_KERNEL(1024) shuffle_after_exit(int* out) {
  if (thread() == 7) return;
  out[thread()] = shuffle_down(kAll, thread(), 1);
}
GPU_KERNEL(1024) shuffle_or_barrier() {
  if (thread() == 5)
    barrier();
  else
    shuffle_xor(kAll, thread(), 1);
}
GPU_KERNEL(1024) two_shuffles() {
  if (thread() < 16)
    shuffle_xor(kAll, thread(), 1);
  else
    shuffle_xor(kAll, thread(), 1);
}
GPU_KERNEL(1024) shuffle_of_others() {
  shuffle_xor(1u << (thread() + 1) % 32, thread(), 0);
}
GPU_KERNEL(1024) shuffle_from_outside() {
  if (thread() < 16) shuffle_index(0xffffu, thread(), 20);
}
GPU_KERNEL(1024) shuffle_of_part() {
  warp_sum(thread());
}
GPU_KERNEL(1024) sum_over_two_widths() {
  over_lanes<Sum>(thread(), thread() < 16 ? 4 : 2);
}
GPU_KERNEL(1024) waits_for_nobody(const int* flag) {
  while (load_acquire(flag) == 0) {
  }
}
GPU_KERNEL(1024) writes_outside(int at) {
  GPU_SHARED(int, small, 4);
  small[1] = 0;
  volatile int* p = small;
  if (thread() == 0) p[at] = 1;
}
GPU_KERNEL(1024) takes_too_much() {
  GPU_SHARED(float, big, 20000);
  big[0] = 0;
}
GPU_KERNEL(1024) loads_askew(const float* in, float* out) {
  out[thread()] = load_stream(reinterpret_cast<const Float4*>(in + 1)).v[0];
}
GPU_KERNEL(1024) throws_in_one() {
  if (thread() == 3) throw 42;
  barrier();
}

void check_faults() {
  std::vector<int> out(1024);
  alignas(16) float floats[8] = {};
  const int never = 0;
  const Launch block{.kernel = "broken", .threads = 256}, warp{.kernel = "broken", .threads = 32};
  expect_fault("a barrier after some have left", "216 threads exited, 40 wait", block, early_exit);
  expect_fault("a barrier at two places", "divergent barrier", block, two_barriers);
  expect_fault("a shuffle that names who has left", "lane 7 has exited", warp, shuffle_after_exit, out.data());
  expect_fault("a shuffle that names who waits elsewhere", "lane 5 waits at the block's barrier", warp,
               shuffle_or_barrier);
  expect_fault("a sum over two widths", "do not agree", warp, sum_over_two_widths);
  expect_fault("two shuffles for one", "is at another call", warp, two_shuffles);
  expect_fault("a mask without the caller", "does not name the caller", warp, shuffle_of_others);
  expect_fault("a shuffle from outside its mask", "reads a lane that its mask does not name", warp,
               shuffle_from_outside);
  expect_fault("a full mask in half a warp", "lanes that the block does not have", {.kernel = "broken", .threads = 48},
               shuffle_of_part);
  expect_fault("waiting for what nobody writes", "deadlock", warp, waits_for_nobody, &never);
  expect_fault("more shared memory than there is", "80000 bytes of shared memory", warp, takes_too_much);
  expect_fault("a load that is not aligned", "not aligned", warp, loads_askew, static_cast<const float*>(floats),
               floats);
  expect_fault("a block too large", "1 to 1024", {.kernel = "broken", .threads = 1025}, early_exit);
  if (host::kAddressSanitizer) {
    std::printf("skip  writes outside shared memory: the sanitizer stops the program at them\n");
  } else {
    expect_fault("a write behind a shared array", "outside the shared array 'small'", warp, writes_outside, 4);
    expect_fault("a write before a shared array", "outside the shared array 'small'", warp, writes_outside, -1);
  }
  bool caught = false;
  try {
    host::launch(block, throws_in_one);
  } catch (int value) {
    caught = value == 42;
  }
  expect(caught, "what a kernel throws comes out of its launch");
}

void check_async() {
  alignas(16) float in[384];
  for (int i = 0; i < 384; ++i) in[i] = static_cast<float>(i);
  std::vector<float> out(256);
  const Launch how{.kernel = "words_of_copies"};
  host::launch(how, words_of_copies, static_cast<const float*>(in), out.data(), 2);
  bool first = true, last = true;
  for (size_t i = 0; i < 128; ++i) {
    first &= out[i] == static_cast<float>(i);
    last &= std::isnan(out[128 + i]);
  }
  expect(first, "async_wait<2> brings the oldest of three groups");
  expect(last, "what is not waited for is not there");
  expect_fault("a copy nobody waits for", "without async_wait()", how, words_of_copies, static_cast<const float*>(in),
               out.data(), 0);
}

void check_grid() {
  const std::vector<int> in{5, 7, 11, 13};
  for (const Order order : kOrders) {
    // The second time as another launch finds it, of another size.
    GridMeeting meeting{};
    for (const int blocks : {4, 3}) {
      std::vector<int> out(static_cast<size_t>(blocks));
      int sum = 0;
      host::launch({.kernel = "words_of_grids", .grid = {blocks}, .threads = 64, .order = order, .cooperative = true},
                   words_of_grids, &meeting, in.data(), out.data(), &sum);
      expect(out == std::vector<int>(out.size(), blocks == 4 ? 36 : 23), "all blocks of a grid meet");
    }
  }
  std::vector<int> out(4);
  GridMeeting meeting{};
  int sum = 0;
  expect_fault("a grid barrier without a cooperative launch", "only a cooperative launch",
               {.kernel = "grid", .grid = {4}}, words_of_grids, &meeting, in.data(), out.data(), &sum);
}

void check_warp() {
  for (const Order order : kOrders) {
    std::vector<int> out(289);
    host::launch({.kernel = "words_of_warps", .order = order}, words_of_warps, out.data());
    bool right = out[192] == -9;
    for (int l = 0; l < 32; ++l) {
      const auto at = [&](int part) { return out[static_cast<size_t>(32 * part + l)]; };
      right &= at(0) == (l + 5 < 32 ? l + 5 : l) && at(1) == (l ^ 3) && at(2) == (l * 7 + 1) % 32 && at(3) == 496;
      right &= at(4) == 31 && at(5) == (l ^ 1);
      right &= out[static_cast<size_t>(193 + l)] == l + 1 * 2 + -1 * 3 + 127 * 127 + 128 * 128;
      int most = 0;
      for (const int other : {l, l ^ 1, l ^ 2, l ^ 3}) most = std::max(most, other * 5 % 32);
      right &= out[static_cast<size_t>(225 + l)] == most && out[static_cast<size_t>(257 + l)] == -1;
    }
    expect(right, "warp calls and dot4 mean what they say");
  }
}

// Against PTX's tables written down element by element: of a_i, b_i and c_i the row and column in lane l.
void check_mma() {
  std::mt19937 random(5);
  std::vector<uint32_t> a(128), b(64);
  const auto value = [&] { return static_cast<uint32_t>(float_to_bf16(static_cast<float>(random() % 9) - 4)); };
  for (uint32_t& word : a) word = value() | value() << 16;
  for (uint32_t& word : b) word = value() | value() << 16;
  std::vector<int> wide(128), narrow(64);
  std::vector<float> floats(128);
  host::launch({.kernel = "words_of_matrices"}, words_of_matrices, static_cast<const uint32_t*>(a.data()),
               static_cast<const uint32_t*>(b.data()), wide.data(), narrow.data(), floats.data());
  const auto byte = [](const std::vector<uint32_t>& words, int lane, int i) {
    return static_cast<int8_t>(words[static_cast<size_t>(i / 4 * 32 + lane)] >> i % 4 * 8);
  };
  const auto half = [](const std::vector<uint32_t>& words, int lane, int i) {
    return bf16_to_float(static_cast<uint16_t>(words[static_cast<size_t>(i / 2 * 32 + lane)] >> i % 2 * 16));
  };
  int a8[16][32], b8[32][8], small_a[8][16], small_b[16][8];
  float a16[16][16], b16[16][8];
  for (int l = 0; l < 32; ++l) {
    const int group = l / 4, in = l % 4;
    for (int i = 0; i < 16; ++i)
      a8[i < 4 || (i >= 8 && i < 12) ? group : group + 8][in * 4 + i % 4 + (i >= 8 ? 16 : 0)] = byte(a, l, i);
    for (int i = 0; i < 8; ++i) b8[in * 4 + i % 4 + (i >= 4 ? 16 : 0)][group] = byte(b, l, i);
    for (int i = 0; i < 4; ++i) small_a[group][in * 4 + i] = byte(a, l, i), small_b[in * 4 + i][group] = byte(b, l, i);
    for (int i = 0; i < 8; ++i)
      a16[i < 2 || i == 4 || i == 5 ? group : group + 8][in * 2 + i % 2 + (i >= 4 ? 8 : 0)] = half(a, l, i);
    for (int i = 0; i < 4; ++i) b16[in * 2 + i % 2 + (i >= 2 ? 8 : 0)][group] = half(b, l, i);
  }
  bool wides = true, narrows = true, halves = true;
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? l / 4 : l / 4 + 8, column = l % 4 * 2 + i % 2;
      int want = 1, less = 1;
      float sum = 1;
      for (int k = 0; k < 32; ++k) want += a8[row][k] * b8[k][column];
      for (int k = 0; k < 16; ++k) sum += a16[row][k] * b16[k][column];
      wides &= wide[static_cast<size_t>(4 * l + i)] == want;
      halves &= floats[static_cast<size_t>(4 * l + i)] == sum;
      if (i >= 2) continue;
      for (int k = 0; k < 16; ++k) less += small_a[row][k] * small_b[k][column];
      narrows &= narrow[static_cast<size_t>(2 * l + i)] == less;
    }
  expect(wides, "mma of 16x8x32 signed bytes");
  expect(narrows, "mma of 8x8x16 signed bytes");
  expect(halves, "mma of 16x8x16 bf16");
}

void check_numbers() {
  std::vector<float> in, out(192);
  std::vector<uint16_t> bits(64);
  for (int i = 0; i < 32; ++i) in.push_back(0.01f * static_cast<float>(i * i * i + 1) / 4);
  host::launch({.kernel = "words_of_numbers", .shared_bytes = 128}, words_of_numbers,
               static_cast<const float*>(in.data()), out.data(), bits.data());
  double error = 0, rounded = 0;
  for (size_t i = 0; i < 32; ++i) {
    const double x = in[i];
    const double want[] = {std::exp(x), std::log(x), 1 / std::sqrt(x), std::tanh(x)};
    for (size_t f = 0; f < 4; ++f)
      error = std::fmax(error, std::fabs(out[32 * f + i] - want[f]) / std::fmax(1, std::fabs(want[f])));
    rounded = std::fmax(rounded, std::fabs(out[128 + i] / x - 1));
    rounded = std::fmax(rounded, std::fabs(out[160 + i] / x - 1) / 8);
  }
  expect(error < 5e-7, "functions of kernels are near the true ones");
  expect(rounded < 5e-4, "halves and bf16 come back");
}

}  // namespace

void check_gpu_shim() {
  check_numbers();
  check_missing_barrier();
  check_faults();
  check_async();
  check_grid();
  check_warp();
  check_mma();
}

}  // namespace moshi
