// Models of the published shapes and names with weights that are made up: to measure what a machine can do with them
// before anything is downloaded.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "files/synthetic.h"
#include "model/precision.h"
#include "model/shapes.h"

namespace moshi {

struct SyntheticModel {
  std::string name;
  // Absent: a codec alone.
  std::optional<LmConfig> lm;
  Widths widths;
  bool numbered = false;  // as newer checkpoints name their projections
  bool small = false;     // run as stored, where nothing else is asked for
  MimiConfig mimi;
  int64_t mimi_feed_forward = 2048;
};

// Throws Error(kBadOption), naming those there are, for any other name than "personaplex-7b", "moshi-7b", "stt-1b",
// "stt-2.6b", "tts-1.6b", "mimi", and, for tests, "tiny".
SyntheticModel synthetic_model(const std::string& name);

// The weights, made directly in the type they are run in; stored, they are bf16.
std::unique_ptr<TensorFile> synthetic_lm(const SyntheticModel& model, Precision precision);
// Stored, they are f32.
std::unique_ptr<TensorFile> synthetic_mimi(const SyntheticModel& model, Precision precision);

// What a CPU needs for tensors of these shapes: all of them packed, and the largest one while it is.
struct PackedSize {
  uint64_t all = 0, largest = 0;
};
PackedSize packed_size(const std::vector<TensorShape>& tensors, Precision precision);

}  // namespace moshi
