// The GPU's streaming convolutions on fibers: several sessions at once, against the CPU's one by one, call after call.
#include <cstdio>
#include <random>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cuda/kernels/kernels.h"
#include "tests/gpu_tools.h"

namespace moshi {

namespace {

using gpu::host::Order;
using Floats = std::vector<float>;

std::mt19937 random_source(17);

Floats normal(int64_t count) {
  return normal_floats(count, random_source);
}

struct ConvCase {
  int past, channels, taps, stride, dilation;
};

// The one session of this call's number is fresh.
std::vector<StreamData> streams_of(std::vector<Floats>& slabs, int call) {
  std::vector<StreamData> out;
  for (size_t s = 0; s < slabs.size(); ++s) out.push_back({slabs[s].data(), static_cast<int>(s) == call ? 1 : 0, 0});
  return out;
}

// Three sessions through calls of several lengths, each session fresh at another call.
void check_window(CpuBackend& cpu, const ConvCase& c, bool replicate, Activation before) {
  constexpr int kStreams = 3, kOffset = 5;
  const std::string name = "GPU window of " + std::to_string(c.taps) + " taps, stride " + std::to_string(c.stride) +
                           ", dilation " + std::to_string(c.dilation) + (replicate ? ", replicated" : "") +
                           (before == Activation::Identity ? "" : ", activated");
  std::vector<Floats> theirs, slabs;
  for (int s = 0; s < kStreams; ++s) slabs.push_back(normal(int64_t{c.past} * c.channels + 2 * kOffset));
  theirs = slabs;
  for (int call = 0; call < 5; ++call) {
    const int lengths[] = {1, 2, 1, 5, 3}, time = lengths[call] * c.stride;
    const Floats x = normal(int64_t{kStreams} * time * c.channels);
    const ConvWindow shape{.offset = kOffset,
                           .past = c.past,
                           .time = time,
                           .channels = c.channels,
                           .taps = c.taps,
                           .stride = c.stride,
                           .dilation = c.dilation,
                           .replicate = replicate,
                           .unfolded = true};
    Floats want(static_cast<size_t>(kStreams * shape.size()));
    // What a session remembers of before it is fresh is anything.
    if (before == Activation::Identity)
      cpu.window(shape, {.host = streams_of(theirs, call)}, x.data(), want.data());
    else
      cpu.window_of_activation(before, 0.7f, shape, {.host = streams_of(theirs, call)}, x.data(), want.data());
    for (const Floats& slab : theirs) want.insert(want.end(), slab.begin(), slab.end());
    const auto at_start = slabs;
    const Floats got = in_every_order(name, [&](Order order) {
      // Whatever lies before and behind in a session's memory is another convolution's.
      auto kept = at_start;
      const std::vector<StreamData> streams = streams_of(kept, call);
      Floats out(static_cast<size_t>(kStreams * shape.size()));
      const Window w{.x = x.data(),
                     .out = out.data(),
                     .streams = streams.data(),
                     .offset = kOffset,
                     .past = c.past,
                     .time = time,
                     .channels = c.channels,
                     .taps = c.taps,
                     .stride = c.stride,
                     .dilation = c.dilation,
                     .replicate = replicate,
                     .before = before,
                     .alpha = 0.7f};
      gpu::host::launch(launch_of("window", {2, kStreams}, order, 32), window, w);
      for (const Floats& slab : kept) out.insert(out.end(), slab.begin(), slab.end());
      slabs = kept;
      return out;
    });
    // Whether a value is activated twice shows far above this.
    expect(before == Activation::Identity ? got == want : worst(got, want) < 1e-6,
           name + " is the CPU's in call " + std::to_string(call));
  }
}

void check_overlap(CpuBackend& cpu, int taps, int stride, int channels) {
  constexpr int kStreams = 3, kOffset = 4;
  const std::string name = "GPU overlap of " + std::to_string(taps) + " taps, stride " + std::to_string(stride);
  std::vector<Floats> theirs, slabs;
  for (int s = 0; s < kStreams; ++s) slabs.push_back(normal(int64_t{taps - stride} * channels + 2 * kOffset));
  theirs = slabs;
  const Floats weight = normal(int64_t{taps} * channels), bias = normal(channels);
  for (int call = 0; call < 5; ++call) {
    const int times[] = {1, 1, 4, 2, 7}, time = times[call];
    const float* biased = call % 2 == 1 ? bias.data() : nullptr;
    const Floats x = normal(int64_t{kStreams} * time * channels);
    const int64_t in = int64_t{time} * taps * channels, out = int64_t{time} * stride * channels;
    Floats columns(static_cast<size_t>(kStreams * in)), want(static_cast<size_t>(kStreams * out));
    cpu.scale_channels(x.data(), weight.data(), columns.data(), int64_t{kStreams} * time, taps, channels);
    const Floats scaled = in_every_order("GPU scale_channels", [&](Order order) {
      Floats y(columns.size());
      gpu::host::launch(launch_of("scale_channels", {2, kStreams * time}, order, 32), scale_channels, x.data(),
                        weight.data(), y.data(), taps, channels);
      return y;
    });
    expect(scaled == columns, "GPU scale_channels is the CPU's");
    cpu.overlap_add({kOffset, time, channels, taps, stride}, {.host = streams_of(theirs, call)}, columns.data(), biased,
                    want.data());
    for (const Floats& slab : theirs) want.insert(want.end(), slab.begin(), slab.end());
    const auto at_start = slabs;
    const Floats got = in_every_order(name, [&](Order order) {
      auto before = at_start;
      const std::vector<StreamData> streams = streams_of(before, call);
      Floats y(static_cast<size_t>(kStreams * out));
      const OverlapAdd o{.x = columns.data(),
                         .bias = biased,
                         .y = y.data(),
                         .streams = streams.data(),
                         .offset = kOffset,
                         .time = time,
                         .channels = channels,
                         .taps = taps,
                         .stride = stride};
      gpu::host::launch(launch_of("overlap_add", {2, kStreams}, order, 32), overlap_add, o);
      for (const Floats& slab : before) y.insert(y.end(), slab.begin(), slab.end());
      slabs = before;
      return y;
    });
    expect(got == want, name + " is the CPU's in call " + std::to_string(call));
  }
}

}  // namespace

void check_gpu_streams() {
  CpuBackend cpu(1, "baseline");
  for (const ConvCase& c : {ConvCase{6, 1, 7, 1, 1},
                            {4, 3, 8, 4, 1},
                            {2, 5, 4, 2, 1},
                            {0, 5, 1, 1, 1},
                            {10, 3, 3, 1, 5},
                            {7, 9, 3, 2, 4},
                            // Channels of several blocks, and more than there are blocks for.
                            {6, 37, 7, 1, 1},
                            {2, 100, 3, 1, 1},
                            {8, 70, 16, 8, 1}})
    for (const bool replicate : {false, true})
      for (const Activation before : {Activation::Identity, Activation::Elu}) check_window(cpu, c, replicate, before);
  check_overlap(cpu, 4, 2, 5);
  check_overlap(cpu, 7, 2, 3);
  check_overlap(cpu, 6, 3, 100);
  check_overlap(cpu, 16, 8, 1);
  check_overlap(cpu, 3, 3, 2);
}

}  // namespace moshi
