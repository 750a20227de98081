// Helpers the language-model cases share.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "files/file.h"
#include "files/safetensors.h"
#include "model/generation.h"
#include "tests/report.h"

namespace moshi {

using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;

// Values gathered step by step, [steps][rows][width], given back as [rows, steps, width].
template <typename T>
std::vector<T> by_row(const std::vector<std::vector<T>>& steps, size_t rows) {
  std::vector<T> out;
  for (size_t r = 0; r < rows; ++r)
    for (const auto& step : steps) {
      const size_t width = step.size() / rows;
      out.insert(out.end(), step.begin() + static_cast<std::ptrdiff_t>(r * width),
                 step.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
    }
  return out;
}

inline Ints wide(const std::vector<int32_t>& values) {
  return {values.begin(), values.end()};
}

// A case knows its dialect; a model on disk shows it by its sizes, which small cases may share.
inline LmConfig read_config(const std::string& path, Dialect dialect) {
  LmConfig config = LmConfig::parse(Json::parse(read_whole(path, 1 << 20), path));
  config.dialect = dialect;
  return config;
}

inline constexpr float kNoValue = -12345.0f;  // stands for NaN in the cases

// What the model makes of given tokens.
struct Forward {
  Floats hidden, text_logits, audio_logits;  // [steps, dim], [steps, text_card_out], [codebooks, steps, card]
};

// hidden [n, dim] and the previous tokens of n positions → depth logits [codebooks][n, card].
std::vector<Floats> depth_logits(const Lm& lm, const Floats& hidden, size_t n,
                                 const std::function<int32_t(int, size_t)>& previous);
// LMModel.forward: the whole delayed sequence of the codes of this name [1, streams, steps] in one call; logits have
// their delay undone, with kNoValue where nothing is left.
Forward one_shot(const Lm& lm, const Safetensors& expected, const std::string& name);
// One position a call: fw_input, and fw_dep_tokens for the depth transformer.
Forward step_by_step(const Lm& lm, const Safetensors& expected);
// The temporal ring as cases store it, [layer, k/v, 1, heads, context, head_dim].
Floats ring_values(Backend& backend, const Generation& one);
// Places without a value must be the same places; they are left out of the scale.
void compare_masked(Report& report, const std::string& check, Floats got, Floats want);

}  // namespace moshi
