#include "model/convolution.h"

#include <algorithm>

#include "core/error.h"
#include "model/workspace.h"

namespace moshi {

Conv::Conv(const Weights& weights, const std::string& name, const ConvShape& shape, StreamLayout& layout)
    : backend_(weights.backend()), shape_(shape), offset_(layout.take(std::max<int64_t>(0, history() * shape.in))) {
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

void Conv::forward(const Streams& streams, const float* x, int64_t time, float* y, const ConvEnds& ends) const {
  const bool activates = ends.before != Activation::Identity;
  Working memory(backend_);
  if (shape_.kernel == 1) {
    const int64_t rows = streams.count() * time;
    const float* input = x;
    if (activates) {
      float* activated = memory.floats(rows * shape_.in);
      backend_.activate(ends.before, x, activated, rows * shape_.in, ends.alpha);
      input = activated;
    }
    return project(input, shape_.in, rows, y, ends);
  }
  // Sequences of several sessions do not follow each other in steps of a stride.
  const bool unfolded = shape_.dilation > 1 || streams.count() > 1 || backend_.unfolds();
  const ConvWindow shape{offset_,         history(),        time,    shape_.in, shape_.kernel, shape_.stride,
                         shape_.dilation, shape_.replicate, unfolded};
  float* window = memory.floats(streams.count() * shape.size());
  if (activates)
    backend_.window_of_activation(ends.before, ends.alpha, shape, streams, x, window);
  else
    backend_.window(shape, streams, x, window);
  project(window, shape.row(), streams.count() * shape.steps(), y, ends);
}

void Conv::project(const float* x, int64_t stride, int64_t rows, float* y, const ConvEnds& ends) const {
  backend_.linear_with(weight_, x, stride, y, rows,
                       {.bias = bias_.data(), .adds = ends.adds, .after = ends.after, .alpha = ends.alpha});
}

ConvTranspose::ConvTranspose(const Weights& weights, const std::string& name, const ConvShape& shape,
                             StreamLayout& layout, bool depthwise)
    : backend_(weights.backend()),
      shape_(shape),
      offset_(layout.take(std::max<int64_t>(0, overlap() * shape.out))),
      depthwise_(depthwise) {
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

void ConvTranspose::forward(const Streams& streams, const float* x, int64_t time, float* y) const {
  const int64_t out = shape_.out, width = shape_.kernel * out, rows = streams.count() * time;
  // Row t of columns is what input t adds to outputs t * stride … t * stride + kernel - 1.
  Working memory(backend_);
  float* columns = memory.floats(rows * width);
  if (depthwise_)
    backend_.scale_channels(x, per_channel_.data(), columns, rows, shape_.kernel, out);
  else
    backend_.linear(weight_, x, shape_.in, columns, width, rows, false);
  backend_.overlap_add({offset_, time, out, shape_.kernel, shape_.stride}, streams, columns, bias_.data(), y);
}

}  // namespace moshi
