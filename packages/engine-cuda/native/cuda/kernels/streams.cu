// Streaming convolutions of many sessions, streams.h says over what. Grid (any, streams); a session has fewer than 2³²
// elements. What it remembers is read by one launch and moved on by the next, so that no block overwrites what another
// one reads.
#include "cuda/kernels/streams.h"

#include "cuda/kernels/elements.h"

namespace moshi {

namespace {

using namespace gpu;

// One session's rows, those remembered and then the fresh ones.
struct Sequence {
  const float *memory, *x;
  int32_t past, channels;
  bool fresh, replicate;

  GPU_DEVICE Sequence(const Window& w, const StreamData& stream)
      : memory(stream.memory + w.offset),
        x(w.x + static_cast<int64_t>(block_y()) * w.time * w.channels),
        past(w.past),
        channels(w.channels),
        fresh(stream.fresh != 0),
        replicate(w.replicate) {}

  GPU_DEVICE float at(int32_t row, int32_t channel) const {
    if (row >= past) return x[static_cast<int64_t>(row - past) * channels + channel];
    if (fresh) return replicate ? x[channel] : 0.0f;
    return memory[static_cast<int64_t>(row) * channels + channel];
  }
};

// Element i of [rows, channels]; divided in 32 bits, since 64 are slow.
struct Place {
  int32_t row, channel;

  GPU_DEVICE Place(int64_t i, int32_t channels)
      : row(static_cast<int32_t>(static_cast<uint32_t>(i) / static_cast<uint32_t>(channels))),
        channel(static_cast<int32_t>(static_cast<uint32_t>(i) % static_cast<uint32_t>(channels))) {}
};

// Moves memory [rows, channels] up by `shift` rows; value(row, channel) is what row + shift holds. Whoever fills a row
// also fills the one it comes from, and after it: nobody waits for anybody.
template <typename Value>
GPU_DEVICE void move_up(float* memory, int32_t rows, int32_t channels, int32_t shift, Value value) {
  const int64_t starts = static_cast<int64_t>(shift < rows ? shift : rows) * channels;
  for (int64_t i = first(); i < starts; i += step()) {
    const Place start(i, channels);
    for (int32_t row = start.row; row < rows; row += shift)
      memory[static_cast<int64_t>(row) * channels + start.channel] = value(row, start.channel);
  }
}

// Output row `row` of a session: what is remembered of it, then what each row of x adds, in their order.
GPU_DEVICE float overlapped(const OverlapAdd& o, const StreamData& stream, int32_t row, int32_t channel) {
  const float* x = o.x + static_cast<int64_t>(block_y()) * o.time * o.taps * o.channels;
  const bool carried = stream.fresh == 0 && row < o.taps - o.stride;
  float sum = carried ? stream.memory[o.offset + static_cast<int64_t>(row) * o.channels + channel] : 0.0f;
  int32_t t = row < o.taps ? 0 : (row - o.taps) / o.stride + 1;
  for (; t < o.time && t * o.stride <= row; ++t)
    sum += x[(static_cast<int64_t>(t) * o.taps + (row - t * o.stride)) * o.channels + channel];
  return sum;
}

}  // namespace

// out: tap k of output t is row t * stride + k * dilation of the sequence.
GPU_KERNEL(1024) window(Window w) {
  const Sequence sequence(w, w.streams[block_y()]);
  const int64_t size = static_cast<int64_t>(w.time / w.stride) * w.taps * w.channels;
  float* out = w.out + block_y() * size;
  for (int64_t i = first(); i < size; i += step()) {
    const Place at(i, w.channels);
    const int32_t t = at.row / w.taps, k = at.row % w.taps;
    out[i] = sequence.at(t * w.stride + k * w.dilation, at.channel);
  }
}

// The memory becomes the last `past` rows of the sequence.
GPU_KERNEL(1024) window_keep(Window w) {
  const StreamData& stream = w.streams[block_y()];
  const Sequence sequence(w, stream);
  move_up(stream.memory + w.offset, w.past, w.channels, w.time,
          [&](int32_t row, int32_t channel) { return sequence.at(row + w.time, channel); });
}

// out [rows, taps, channels] = x [rows, channels] * weight [taps, channels]; grid (any, rows).
GPU_KERNEL(1024) scale_channels(const float* x, const float* weight, float* out, int64_t taps, int64_t channels) {
  x += block_y() * channels;
  out += block_y() * taps * channels;
  for (int64_t i = first(); i < taps * channels; i += step())
    out[i] = x[Place(i, static_cast<int32_t>(channels)).channel] * weight[i];
}

// y: all outputs that no later row reaches.
GPU_KERNEL(1024) overlap_add(OverlapAdd o) {
  const StreamData& stream = o.streams[block_y()];
  const int64_t size = static_cast<int64_t>(o.time) * o.stride * o.channels;
  float* y = o.y + block_y() * size;
  for (int64_t i = first(); i < size; i += step()) {
    const Place at(i, o.channels);
    y[i] = overlapped(o, stream, at.row, at.channel);
  }
}

// The memory becomes the outputs behind them, as far as they have got.
GPU_KERNEL(1024) overlap_keep(OverlapAdd o) {
  const StreamData& stream = o.streams[block_y()];
  move_up(stream.memory + o.offset, o.taps - o.stride, o.channels, o.time * o.stride,
          [&](int32_t row, int32_t channel) { return overlapped(o, stream, row + o.time * o.stride, channel); });
}

}  // namespace moshi
