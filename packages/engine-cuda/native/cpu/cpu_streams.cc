// The CPU's share of streaming: windows of convolutions, overlaps, positions. It moves memory; the arithmetic is
// linear()'s.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/cpu_backend.h"

namespace moshi {

namespace {

void copy_rows(float* to, const float* from, int64_t floats) {
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

void CpuBackend::add_sin_positions(float* x, std::span<const Row> rows, int64_t dim, float max_period, float scale) {
  const int64_t half = dim / 2;
  for (size_t i = 0; i < rows.size(); ++i) {
    float* row = x + static_cast<int64_t>(i) * dim;
    for (int64_t k = 0; k < half; ++k) {
      const float period = std::pow(max_period, static_cast<float>(k) / static_cast<float>(half - 1));
      const float phase = static_cast<float>(rows[i].position) / period;
      row[k] += scale * std::cos(phase);
      row[half + k] += scale * std::sin(phase);
    }
  }
}

void CpuBackend::window(const ConvWindow& shape, Past past, float* memory, const float* x, float* out) {
  const int64_t row = shape.channels, before = shape.past * row, fresh = shape.time * row;
  if (past == Past::Zeros) std::fill(memory, memory + before, 0.0f);
  if (past == Past::FirstInput)
    for (int64_t t = 0; t < shape.past; ++t) copy_rows(memory + t * row, x, row);
  if (shape.dilation == 1) {
    copy_rows(out, memory, before);
    copy_rows(out + before, x, fresh);
  } else {
    for (int64_t t = 0; t < shape.steps(); ++t)
      for (int64_t k = 0; k < shape.taps; ++k) {
        const int64_t at = t * shape.stride + k * shape.dilation - shape.past;
        copy_rows(out + (t * shape.taps + k) * row, at < 0 ? memory + (shape.past + at) * row : x + at * row, row);
      }
  }
  // The last `past` rows of both.
  const int64_t kept = std::max<int64_t>(0, before - fresh);
  if (kept > 0) std::memmove(memory, memory + (before - kept), static_cast<size_t>(kept) * sizeof(float));
  copy_rows(memory + kept, x + (fresh - (before - kept)), before - kept);
}

void CpuBackend::scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                                int64_t channels) {
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t k = 0; k < taps; ++k)
      for (int64_t c = 0; c < channels; ++c)
        out[(t * taps + k) * channels + c] = x[t * channels + c] * weight[k * channels + c];
}

void CpuBackend::overlap_add(const float* columns, bool past, float* memory, float* y, int64_t time, int stride,
                             int taps, int64_t channels) {
  const int64_t width = taps * channels, whole = time * stride * channels, carried = (taps - stride) * channels;
  if (!past) std::fill(memory, memory + carried, 0.0f);
  // A short call's outputs end before the overlap does: what is left of it moves up.
  const int64_t used = std::min(carried, whole);
  copy_rows(y, memory, used);
  std::fill(y + used, y + whole, 0.0f);
  if (carried > used) std::memmove(memory, memory + used, static_cast<size_t>(carried - used) * sizeof(float));
  std::fill(memory + (carried - used), memory + carried, 0.0f);
  for (int64_t t = 0; t < time; ++t) {
    const float* from = columns + t * width;
    const int64_t at = t * stride * channels, direct = std::min(width, whole - at);
    for (int64_t i = 0; i < direct; ++i) y[at + i] += from[i];
    for (int64_t i = direct; i < width; ++i) memory[at + i - whole] += from[i];
  }
}

}  // namespace moshi
