#include "model/convolution.h"

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
  if (shape.bias) bias_ = weights.values(name + ".bias", shape.out);
}

ConvState Conv::make_state() const {
  ConvState state;
  state.memory = backend_.allocate(static_cast<size_t>(history() * shape_.in));
  return state;
}

void Conv::forward(ConvState& state, const float* x, int64_t time, float* y) const {
  const ConvWindow shape{history(), time, shape_.in, shape_.kernel, shape_.stride, shape_.dilation};
  const Past past = !state.first ? Past::Remembered : shape_.replicate ? Past::FirstInput : Past::Zeros;
  state.first = false;
  Working memory(backend_);
  float* window = memory.floats(shape.size());
  backend_.window(shape, past, state.memory.data(), x, window);
  backend_.linear(weight_, window, shape.row(), y, shape_.out, shape.steps(), false);
  if (bias_) backend_.add_bias(y, bias_.data(), shape.steps(), shape_.out);
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
    per_channel_ = backend_.upload(packed);
  else
    weight_ = weights.pack_convolution(packed, shape.kernel * shape.out, shape.in);
  if (shape.bias) bias_ = weights.values(name + ".bias", shape.out);
}

ConvState ConvTranspose::make_state() const {
  ConvState state;
  state.memory = backend_.allocate(static_cast<size_t>(overlap() * shape_.out));
  return state;
}

void ConvTranspose::forward(ConvState& state, const float* x, int64_t time, float* y) const {
  const int64_t out = shape_.out, width = shape_.kernel * out;
  // Row t of columns is what input t adds to outputs t * stride … t * stride + kernel - 1.
  Working memory(backend_);
  float* columns = memory.floats(time * width);
  if (depthwise_)
    backend_.scale_channels(x, per_channel_.data(), columns, time, shape_.kernel, out);
  else
    backend_.linear(weight_, x, shape_.in, columns, width, time, false);
  backend_.overlap_add(columns, !state.first, state.memory.data(), y, time, shape_.stride, shape_.kernel, out);
  state.first = false;
  if (bias_) backend_.add_bias(y, bias_.data(), time * shape_.stride, out);
}

}  // namespace moshi
