// The quality of a model with other weights than its own: how often, and how far, it strays from a reference that is
// given the very same tokens.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/checkpoint.h"
#include "runtime/divergence.h"

namespace moshi {

struct EvalModel {
  CheckpointFiles files;  // with the form of its weights
};

enum class EvalStage : uint8_t { Encoding, Reference, Tested };
// Called now and then with frames done and in all; may throw to end the evaluation.
using EvalProgress = std::function<void(EvalStage stage, int64_t done, int64_t all)>;

struct EvalOptions {
  EvalModel tested, reference;
  // What the user says: recordings of 24 kHz, each a conversation of its own.
  std::vector<std::vector<float>> recordings;
  int64_t frames = 500;  // of all recordings together
  std::function<std::unique_ptr<CpuBackend>(Inputs)> backend;
  EvalProgress progress = [](EvalStage, int64_t, int64_t) {};
};

struct Quality {
  Precision precision = Precision::Stored;  // what was tested
  int64_t frames = 0;                       // compared
  double hidden = 0;    // mean cosine between the temporal transformers' outputs; NaN when their widths differ
  StreamQuality text;   // every step
  StreamQuality words;  // the steps where the reference says something: padding is easy to agree on
  std::vector<StreamQuality> audio;  // by codebook
};

// The reference answers the recordings, its likeliest token each time; the tested model is led along the same tokens.
// One model is in memory at a time. Throws Error when the two do not speak the same tokens.
Quality evaluate(const EvalOptions& options);

}  // namespace moshi
