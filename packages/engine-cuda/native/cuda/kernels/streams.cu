// Streaming convolutions of many sessions, streams.h says over what. Grid (any, streams); a session has fewer than 2³²
// elements. What it remembers is read and moved on in one launch: few outputs need it, those of the first rows, and
// they are made by the block that then moves it on, for some channels at a time. No other block looks at it.
#include "cuda/kernels/streams.h"

#include "cuda/kernels/activated.h"
#include "cuda/kernels/elements.h"

namespace moshi {

namespace {

using namespace gpu;

// One session's rows, those remembered and then the fresh ones.
struct Sequence {
  const float *memory, *x;
  int32_t past, channels;
  bool fresh, replicate;
  Activation before;
  float alpha;

  GPU_DEVICE Sequence(const Window& w, const StreamData& stream)
      : memory(stream.memory + w.offset),
        x(w.x + static_cast<int64_t>(block_y()) * w.time * w.channels),
        past(w.past),
        channels(w.channels),
        fresh(stream.fresh != 0),
        replicate(w.replicate),
        before(w.before),
        alpha(w.alpha) {}

  GPU_DEVICE float at(int32_t row, int32_t channel) const {
    if (row < past && !fresh) return memory[static_cast<int64_t>(row) * channels + channel];
    if (row < past && !replicate) return 0.0f;
    return activated(before, x[row < past ? channel : static_cast<int64_t>(row - past) * channels + channel], alpha);
  }
};

// Element i of [rows, channels]; divided in 32 bits, since 64 are slow.
struct Place {
  int32_t row, channel;

  GPU_DEVICE Place(int64_t i, int32_t channels)
      : row(static_cast<int32_t>(static_cast<uint32_t>(i) / static_cast<uint32_t>(channels))),
        channel(static_cast<int32_t>(static_cast<uint32_t>(i) % static_cast<uint32_t>(channels))) {}
};

// Channels of a session's memory that belong to one block.
constexpr int32_t kOwned = 32;

// For memory [rows, channels]: make(row, channel) for `early` rows of output, and when all of a block's are there, its
// memory moves up by `shift`, value(row, channel) being what row + shift holds. Whoever fills a row also fills the one
// it comes from, and after it: nobody waits for anybody.
template <typename Make, typename Value>
GPU_DEVICE void make_and_move(float* memory, int32_t rows, int32_t channels, int32_t shift, int32_t early, Make make,
                              Value value) {
  if (rows == 0) return;
  const int32_t starts = shift < rows ? shift : rows;
  for (int32_t from = block_x() * kOwned; from < channels; from += blocks_x() * kOwned) {
    const int32_t width = channels - from < kOwned ? channels - from : kOwned;
    for (int32_t i = thread(); i < early * width; i += threads()) {
      const Place at(i, width);
      make(at.row, from + at.channel);
    }
    barrier();
    for (int32_t i = thread(); i < starts * width; i += threads()) {
      const Place start(i, width);
      for (int32_t row = start.row; row < rows; row += shift)
        memory[static_cast<int64_t>(row) * channels + from + start.channel] = value(row, from + start.channel);
    }
  }
}

// make(row, channel) for rows [early, rows) of output, by all blocks.
template <typename Make>
GPU_DEVICE void make_rest(int32_t early, int32_t rows, int32_t channels, Make make) {
  const int64_t size = static_cast<int64_t>(rows) * channels;
  for (int64_t i = static_cast<int64_t>(early) * channels + first(); i < size; i += step()) {
    const Place at(i, channels);
    make(at.row, at.channel);
  }
}

GPU_DEVICE int32_t smaller(int32_t a, int32_t b) {
  return a < b ? a : b;
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

// out: tap k of output t is row t * stride + k * dilation of the sequence. The memory becomes the sequence's last
// `past` rows.
GPU_KERNEL(1024) window(Window w) {
  const StreamData& stream = w.streams[block_y()];
  const Sequence sequence(w, stream);
  const int32_t outputs = w.time / w.stride;
  float* out = w.out + static_cast<int64_t>(block_y()) * outputs * w.taps * w.channels;
  const auto make = [&](int32_t row, int32_t channel) {
    const int32_t t = row / w.taps, k = row % w.taps;
    out[static_cast<int64_t>(row) * w.channels + channel] = sequence.at(t * w.stride + k * w.dilation, channel);
  };
  // Those whose first tap lies in the past.
  const int32_t early = smaller(outputs, (w.past + w.stride - 1) / w.stride) * w.taps;
  make_and_move(stream.memory + w.offset, w.past, w.channels, w.time, early, make,
                [&](int32_t row, int32_t channel) { return sequence.at(row + w.time, channel); });
  make_rest(early, outputs * w.taps, w.channels, make);
}

// out [rows, taps, channels] = x [rows, channels] * weight [taps, channels]; grid (any, rows).
GPU_KERNEL(1024) scale_channels(const float* x, const float* weight, float* out, int64_t taps, int64_t channels) {
  x += block_y() * channels;
  out += block_y() * taps * channels;
  for (int64_t i = first(); i < taps * channels; i += step())
    out[i] = x[Place(i, static_cast<int32_t>(channels)).channel] * weight[i];
}

// y: all outputs that no later row reaches. The memory becomes the outputs behind them, as far as they have got.
GPU_KERNEL(1024) overlap_add(OverlapAdd o) {
  const StreamData& stream = o.streams[block_y()];
  const int32_t outputs = o.time * o.stride, carried = o.taps - o.stride;
  float* y = o.y + static_cast<int64_t>(block_y()) * outputs * o.channels;
  const auto make = [&](int32_t row, int32_t channel) {
    const float sum = overlapped(o, stream, row, channel);
    y[static_cast<int64_t>(row) * o.channels + channel] = o.bias ? sum + o.bias[channel] : sum;
  };
  const int32_t early = smaller(outputs, carried);
  make_and_move(stream.memory + o.offset, carried, o.channels, outputs, early, make,
                [&](int32_t row, int32_t channel) { return overlapped(o, stream, row + outputs, channel); });
  make_rest(early, outputs, o.channels, make);
}

}  // namespace moshi
