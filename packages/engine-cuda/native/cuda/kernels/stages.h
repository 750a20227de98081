// What a run of stages takes: small linear layers and attentions of few rows, each needing the one before, in one
// cooperative launch; the same bytes on host and GPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/activation.h"
#include "cuda/gpu.h"
#include "cuda/kernels/attend.h"
#include "cuda/kernels/linear.h"
#include "cuda/kernels/norm.h"
#include "model/device_data.h"

namespace moshi {

enum class StageKind : uint8_t { Linear, Attend };
// What a layer's input is made of: x itself, its norm, or act(x[:, :cols]) * x[:, cols:].
enum class StageInput : uint8_t { Plain, RmsNorm, Gate };

// y [n, y_stride] (+)= w input(x [n, x_stride]); as struct Linear.
struct LinearStage {
  const char* w;
  const char* scales;
  const float* x;
  float* y;
  const float* norm;  // [cols]
  int32_t x_stride, y_stride;
  int32_t rows, cols, blocks, chunks, groups, split;
  float group_share, eps;
  StageInput input;
  Activation gate;
  bool add;
};

// Keys and values of qkv [n, (heads + 2 kv_heads) head_dim] into their rings of floats, one page each; out [n, heads
// head_dim], unless it is null: what the queries see there. As struct Append and struct Attend.
struct AttendStage {
  const float* qkv;
  float* out;
  const RowData* rows;
  int32_t layer, layers, heads, kv_heads, head_dim, page, capacity;
};

struct Stage {
  StageKind kind;
  union {
    LinearStage linear;
    AttendStage attend;
  };
};

// Kernels' parameters may take 4096 bytes.
inline constexpr int kMostStages = 42;
struct Stages {
  gpu::GridMeeting* meeting;
  int32_t n, count;
  Stage stage[kMostStages];
};
static_assert(sizeof(Stages) <= 4096);

inline constexpr int kStageRows = 4;        // at most: with more, the time that launches take is shared by many
inline constexpr int kStageWarps = 8;       // of a block
inline constexpr int kStagePositions = 32;  // of a ring at most, which are worth one warp

static_assert(attend_warps(kStagePositions) == 1);
// Columns of a norm at most: as many threads as rms_norm has must be there.
inline constexpr int kStageNorm = 1024;
static_assert(norm_threads(kStageNorm) <= 32 * kStageWarps);

// Bytes that an input of n rows takes of a block's memory: codes with their scales, or floats.
constexpr int64_t stage_bytes(LinearForm form, StageInput input, int cols, int n) {
  const int blocks = (cols + 31) / 32;
  if (has_codes(form)) return n * blocks * int64_t{32 + sizeof(InputScale)};
  return input == StageInput::Plain ? 0 : n * int64_t{4} * ((cols + 3) / 4 * 4);
}
// Rows of x that the kernel carries for n.
constexpr int stage_carries(int n) {
  return n <= 2 ? n : kStageRows;
}
// What a block takes of a layer at a time, and of an attention.
constexpr int stage_tiles(const LinearStage& s, int n) {
  const int of_tile = kStageWarps / s.split * linear_rows_at_once(stage_carries(n));
  return (s.rows + of_tile - 1) / of_tile;
}
constexpr int stage_tiles(const AttendStage& s, int n) {
  return (n * s.kv_heads + kStageWarps - 1) / kStageWarps;
}

// What the kernel is called whose layers have weights of this form.
inline const char* stages_name(LinearForm form) {
#define MOSHI_STAGES(Form, form) "stages_" #form,
  static constexpr const char* kNames[] = {MOSHI_LINEAR_FORMS(MOSHI_STAGES)};
#undef MOSHI_STAGES
  return kNames[static_cast<size_t>(form)];
}

}  // namespace moshi
