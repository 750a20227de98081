// What streaming convolutions take, for many sessions at once; the same bytes on host and GPU.
#pragma once

#include <cstdint>

#include "core/activation.h"
#include "model/device_data.h"

namespace moshi {

// A convolution over the rows that each session remembers, `past` of them, and then its `time` new ones.
struct Window {
  const float* x;             // [streams, time, channels]
  float* out;                 // [streams, time / stride, taps, channels]
  const StreamData* streams;  // [streams]
  int64_t offset;             // of [past, channels] in a session's memory, in floats
  int32_t past, time, channels;
  int32_t taps, stride, dilation;
  bool replicate;     // a fresh session's past is its first row over and over, else zeros
  Activation before;  // of x
  float alpha;        // ELU's
};

// A transposed convolution: row t of x is added to y from row t * stride on; what reaches beyond y is remembered.
struct OverlapAdd {
  const float* x;             // [streams, time, taps, channels]
  const float* bias;          // [channels], added to y at last; may be null
  float* y;                   // [streams, time * stride, channels]
  const StreamData* streams;  // [streams]
  int64_t offset;             // of [taps - stride, channels] in a session's memory, in floats
  int32_t time, channels, taps, stride;
};

}  // namespace moshi
