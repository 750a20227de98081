#include "runtime/bench_parts.h"

namespace moshi {

namespace {

constexpr const char* kPartNames[] = {"embeddings", "temporal",     "textHead",    "depth",
                                      "sampling",   "convolutions", "transformer", "quantizer"};
constexpr const char* kKindNames[] = {"linear", "attention", "rest"};

}  // namespace

std::vector<StageTime> stages_of(const Costs& costs) {
  std::vector<StageTime> out;
  for (size_t part = 0; part < kParts; ++part)
    for (size_t kind = 0; kind < kKinds; ++kind) {
      const Cost& cost = costs.by[part][kind];
      if (cost.seconds > 0)
        out.push_back({kPartNames[part], kKindNames[kind], cost.seconds * 1000, cost.weight_bytes + cost.kv_bytes});
    }
  return out;
}

std::vector<float> noise(int64_t count, uint32_t seed) {
  std::vector<float> out(static_cast<size_t>(count));
  uint32_t state = seed + 1;
  for (float& sample : out) {
    state = state * 1664525u + 1013904223u;
    sample = (static_cast<float>(state >> 8) * 0x1p-24f - 0.5f) * 0.1f;
  }
  return out;
}

void advance(TransformerState& state, Backend& backend, int64_t position) {
  state.cache.repeat(backend, position);
  state.position = position;
}

}  // namespace moshi
