// Streaming causal convolutions over rows [streams, time, channels]: each call continues where the last one ended.
// With time outermost the window of a convolution is contiguous, so both kinds reduce to the backend's linear().
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/backend.h"
#include "model/weights.h"

namespace moshi {

// Where the convolutions of one direction of the codec keep what they remember of a session: past inputs, or the
// overlap of past outputs, one after the other in one piece of memory.
class StreamLayout {
 public:
  // Room for so many floats more; where they begin.
  int64_t take(int64_t floats) { return std::exchange(floats_, floats_ + (floats + 15) / 16 * 16); }
  int64_t floats() const { return floats_; }

 private:
  int64_t floats_ = 0;
};

struct ConvShape {
  int64_t in, out;
  int kernel, stride = 1, dilation = 1;
  bool bias = true;
  bool replicate = false;  // fill the history with the first input instead of zeros
};

// What is done on the way into a convolution, and out of it: y = after(conv(before(x))), or, where it adds,
// after(y + conv(before(x))).
struct ConvEnds {
  Activation before = Activation::Identity, after = Activation::Identity;
  float alpha = 1;  // ELU's
  bool adds = false;
};

class Conv {
 public:
  // Reads `name.weight` [out, in, kernel] and `name.bias` [out].
  Conv(const Weights& weights, const std::string& name, const ConvShape& shape, StreamLayout& layout);

  int64_t outputs() const { return shape_.out; }
  int stride() const { return shape_.stride; }
  // x [streams, time, in] → y [streams, time / stride, out]; time is a multiple of the stride.
  void forward(const Streams& streams, const float* x, int64_t time, float* y, const ConvEnds& ends = {}) const;

 private:
  int64_t history() const { return int64_t{shape_.kernel - 1} * shape_.dilation + 1 - shape_.stride; }
  void project(const float* x, int64_t stride, int64_t rows, float* y, const ConvEnds& ends) const;

  Backend& backend_;
  ConvShape shape_;
  int64_t offset_;  // in a stream's memory
  Matrix weight_;   // [out, kernel * in]
  Buffer bias_;
};

class ConvTranspose {
 public:
  // Reads `name.weight` [in, out / groups, kernel] and `name.bias` [out]; depthwise means groups = in = out.
  ConvTranspose(const Weights& weights, const std::string& name, const ConvShape& shape, StreamLayout& layout,
                bool depthwise = false);

  int64_t outputs() const { return shape_.out; }
  int stride() const { return shape_.stride; }
  // x [streams, time, in] → y [streams, time * stride, out].
  void forward(const Streams& streams, const float* x, int64_t time, float* y) const;

 private:
  int64_t overlap() const { return shape_.kernel - shape_.stride; }

  Backend& backend_;
  ConvShape shape_;
  int64_t offset_;  // in a stream's memory
  bool depthwise_;
  Matrix weight_;       // [kernel * out, in]
  Buffer per_channel_;  // [kernel, out] when depthwise
  Buffer bias_;
};

}  // namespace moshi
