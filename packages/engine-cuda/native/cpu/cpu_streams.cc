// The CPU's share of streaming: windows of convolutions, and overlaps. It moves memory; the arithmetic is linear()'s.
#include <algorithm>
#include <cstring>

#include "cpu/cpu_backend.h"

namespace moshi {

namespace {

void copy_floats(float* to, const float* from, int64_t floats) {
  if (floats > 0) std::memcpy(to, from, static_cast<size_t>(floats) * sizeof(float));
}

}  // namespace

void CpuBackend::subtract(float* x, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] -= y[i];
}

void CpuBackend::clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t n, int64_t dim) {
  for (int64_t i = 0; i < n; ++i)
    if (ids[i * id_stride] == -1) std::fill(y + i * dim, y + (i + 1) * dim, 0.0f);
}

void CpuBackend::window(const ConvWindow& shape, const Streams& streams, const float* x, float* out) {
  const int64_t row = shape.channels, before = shape.past * row, fresh = shape.time * row;
  for (const StreamData& stream : streams.host) {
    float* memory = stream.memory + shape.offset;
    if (stream.fresh && !shape.replicate) std::fill(memory, memory + before, 0.0f);
    for (int64_t t = 0; stream.fresh && shape.replicate && t < shape.past; ++t) copy_floats(memory + t * row, x, row);
    if (!shape.unfolded) {
      copy_floats(out, memory, before);
      copy_floats(out + before, x, fresh);
    }
    for (int64_t t = 0; shape.unfolded && t < shape.steps(); ++t)
      for (int64_t k = 0; k < shape.taps; ++k) {
        const int64_t at = t * shape.stride + k * shape.dilation - shape.past;
        copy_floats(out + (t * shape.taps + k) * row, at < 0 ? memory + (shape.past + at) * row : x + at * row, row);
      }
    // The last `past` rows of both.
    const int64_t kept = std::max<int64_t>(0, before - fresh);
    if (kept > 0) std::memmove(memory, memory + (before - kept), static_cast<size_t>(kept) * sizeof(float));
    copy_floats(memory + kept, x + (fresh - (before - kept)), before - kept);
    x += fresh;
    out += shape.size();
  }
}

void CpuBackend::scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                                int64_t channels) {
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t k = 0; k < taps; ++k)
      for (int64_t c = 0; c < channels; ++c)
        out[(t * taps + k) * channels + c] = x[t * channels + c] * weight[k * channels + c];
}

void CpuBackend::overlap_add(const ConvOverlap& shape, const Streams& streams, const float* columns, const float* bias,
                             float* y) {
  const int64_t width = shape.taps * shape.channels, step = shape.stride * shape.channels, whole = shape.time * step;
  const int64_t carried = width - step;
  for (const StreamData& stream : streams.host) {
    float* memory = stream.memory + shape.offset;
    if (stream.fresh) std::fill(memory, memory + carried, 0.0f);
    // A short call's outputs end before the overlap does: what is left of it moves up.
    const int64_t used = std::min(carried, whole);
    copy_floats(y, memory, used);
    std::fill(y + used, y + whole, 0.0f);
    if (carried > used) std::memmove(memory, memory + used, static_cast<size_t>(carried - used) * sizeof(float));
    std::fill(memory + (carried - used), memory + carried, 0.0f);
    for (int64_t t = 0; t < shape.time; ++t, columns += width) {
      const int64_t at = t * step, direct = std::min(width, whole - at);
      for (int64_t i = 0; i < direct; ++i) y[at + i] += columns[i];
      for (int64_t i = direct; i < width; ++i) memory[at + i - whole] += columns[i];
    }
    if (bias) add_bias(y, bias, shape.time * shape.stride, shape.channels);
    y += whole;
  }
}

}  // namespace moshi
