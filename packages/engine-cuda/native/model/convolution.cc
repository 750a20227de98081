#include "model/convolution.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "model/workspace.h"

namespace moshi {

Conv::Conv(const Weights& weights, const std::string& name, const ConvShape& shape)
    : backend_(weights.backend()), shape_(shape) {
  if (history() < 0) throw Error(kBadModel, weights.path() + ": '" + name + "' has a stride larger than its kernel");
  const std::vector<float> stored = weights.vector(name + ".weight", shape.out * shape.in * shape.kernel);
  std::vector<float> packed(stored.size());
  for (int64_t o = 0; o < shape.out; ++o)
    for (int64_t i = 0; i < shape.in; ++i)
      for (int64_t k = 0; k < shape.kernel; ++k)
        packed[static_cast<size_t>((o * shape.kernel + k) * shape.in + i)] =
            stored[static_cast<size_t>((o * shape.in + i) * shape.kernel + k)];
  weight_ = weights.pack_convolution(packed, shape.out, shape.kernel * shape.in);
  if (shape.bias) bias_ = weights.vector(name + ".bias", shape.out);
}

ConvState Conv::make_state() const {
  ConvState state;
  state.memory.assign(static_cast<size_t>(history() * shape_.in), 0.0f);
  return state;
}

void Conv::forward(ConvState& state, const float* x, int64_t time, float* y) const {
  const int64_t past = history(), in = shape_.in, steps = time / shape_.stride, taps = shape_.kernel;
  Working memory(backend_);
  float* window = memory.floats((past + time) * in);
  if (shape_.replicate && state.first) {
    for (int64_t t = 0; t < past; ++t) std::memcpy(window + t * in, x, static_cast<size_t>(in) * sizeof(float));
  } else if (past > 0) {
    std::memcpy(window, state.memory.data(), state.memory.size() * sizeof(float));
  }
  state.first = false;
  std::memcpy(window + past * in, x, static_cast<size_t>(time * in) * sizeof(float));

  const float* rows = window;
  int64_t stride = shape_.stride * in;
  if (shape_.dilation > 1) {
    float* unfolded = memory.floats(steps * taps * in);
    for (int64_t t = 0; t < steps; ++t)
      for (int64_t k = 0; k < taps; ++k)
        std::memcpy(unfolded + (t * taps + k) * in, window + (t * shape_.stride + k * shape_.dilation) * in,
                    static_cast<size_t>(in) * sizeof(float));
    rows = unfolded;
    stride = taps * in;
  }
  backend_.linear(weight_, rows, stride, y, shape_.out, steps, false);
  if (!bias_.empty()) backend_.add_bias(y, bias_.data(), steps, shape_.out);
  if (past > 0) std::memcpy(state.memory.data(), window + time * in, state.memory.size() * sizeof(float));
}

ConvTranspose::ConvTranspose(const Weights& weights, const std::string& name, const ConvShape& shape, bool depthwise)
    : backend_(weights.backend()), shape_(shape), depthwise_(depthwise) {
  if (overlap() < 0) throw Error(kBadModel, weights.path() + ": '" + name + "' has a stride larger than its kernel");
  const int64_t out = depthwise ? 1 : shape.out;
  const std::vector<float> stored = weights.vector(name + ".weight", shape.in * out * shape.kernel);
  std::vector<float> packed(stored.size());
  for (int64_t i = 0; i < shape.in; ++i)
    for (int64_t o = 0; o < out; ++o)
      for (int64_t k = 0; k < shape.kernel; ++k) {
        const float value = stored[static_cast<size_t>((i * out + o) * shape.kernel + k)];
        packed[static_cast<size_t>(depthwise ? k * shape.in + i : (k * out + o) * shape.in + i)] = value;
      }
  if (depthwise)
    per_channel_ = std::move(packed);
  else
    weight_ = weights.pack_convolution(packed, shape.kernel * shape.out, shape.in);
  if (shape.bias) bias_ = weights.vector(name + ".bias", shape.out);
}

ConvState ConvTranspose::make_state() const {
  ConvState state;
  state.memory.assign(static_cast<size_t>(overlap() * shape_.out), 0.0f);
  return state;
}

void ConvTranspose::forward(ConvState& state, const float* x, int64_t time, float* y) const {
  const int64_t out = shape_.out, width = shape_.kernel * out, kept = time * shape_.stride;
  // Row t of columns is what input t adds to outputs t * stride … t * stride + kernel - 1.
  Working memory(backend_);
  float* columns = memory.floats(time * width);
  if (depthwise_) {
    for (int64_t t = 0; t < time; ++t)
      for (int64_t k = 0; k < shape_.kernel; ++k)
        for (int64_t c = 0; c < out; ++c)
          columns[t * width + k * out + c] = x[t * out + c] * per_channel_[static_cast<size_t>(k * out + c)];
  } else {
    backend_.linear(weight_, x, shape_.in, columns, width, time, false);
  }
  std::fill(y, y + kept * out, 0.0f);
  std::vector<float> next(state.memory.size(), 0.0f);
  const int64_t carried = static_cast<int64_t>(state.memory.size());
  // The overlap of one call may reach past a short call's outputs into the next overlap.
  for (int64_t i = 0; i < carried; ++i)
    (i < kept * out ? y[i] : next[static_cast<size_t>(i - kept * out)]) = state.memory[static_cast<size_t>(i)];
  for (int64_t t = 0; t < time; ++t) {
    const float* from = columns + t * width;
    const int64_t at = t * shape_.stride * out, direct = std::min(width, kept * out - at);
    for (int64_t i = 0; i < direct; ++i) y[at + i] += from[i];
    for (int64_t i = direct; i < width; ++i) next[static_cast<size_t>(at + i - kept * out)] += from[i];
  }
  state.memory = std::move(next);
  if (!bias_.empty()) backend_.add_bias(y, bias_.data(), kept, out);
}

}  // namespace moshi
