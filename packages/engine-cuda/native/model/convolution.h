// Streaming causal convolutions over rows [time, channels]: each call continues where the last one ended.
// With time outermost the window of a convolution is contiguous, so both kinds reduce to the backend's linear().
#pragma once

#include <string>
#include <vector>

#include "model/backend.h"
#include "model/weights.h"

namespace moshi {

// What one convolution remembers of one session: past inputs, or the overlap of past outputs.
struct ConvState {
  Buffer memory;
  bool first = true;
  void reset() { first = true; }

  // A copy would share the memory.
  ConvState() = default;
  ConvState(ConvState&&) = default;
  ConvState& operator=(ConvState&&) = default;
};

struct ConvShape {
  int64_t in, out;
  int kernel, stride = 1, dilation = 1;
  bool bias = true;
  bool replicate = false;  // fill the history with the first input instead of zeros
};

class Conv {
 public:
  // Reads `name.weight` [out, in, kernel] and `name.bias` [out].
  Conv(const Weights& weights, const std::string& name, const ConvShape& shape);

  int64_t outputs() const { return shape_.out; }
  int stride() const { return shape_.stride; }
  ConvState make_state() const;
  // x [time, in] → y [time / stride, out]; time is a multiple of the stride.
  void forward(ConvState& state, const float* x, int64_t time, float* y) const;

 private:
  int64_t history() const { return int64_t{shape_.kernel - 1} * shape_.dilation + 1 - shape_.stride; }

  Backend& backend_;
  ConvShape shape_;
  Matrix weight_;  // [out, kernel * in]
  Buffer bias_;
};

class ConvTranspose {
 public:
  // Reads `name.weight` [in, out / groups, kernel] and `name.bias` [out]; depthwise means groups = in = out.
  ConvTranspose(const Weights& weights, const std::string& name, const ConvShape& shape, bool depthwise = false);

  int64_t outputs() const { return shape_.out; }
  int stride() const { return shape_.stride; }
  ConvState make_state() const;
  // x [time, in] → y [time * stride, out].
  void forward(ConvState& state, const float* x, int64_t time, float* y) const;

 private:
  int64_t overlap() const { return shape_.kernel - shape_.stride; }

  Backend& backend_;
  ConvShape shape_;
  bool depthwise_;
  Matrix weight_;       // [kernel * out, in]
  Buffer per_channel_;  // [kernel, out] when depthwise
  Buffer bias_;
};

}  // namespace moshi
