// Helpers the language-model cases share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "files/file.h"
#include "model/config.h"

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

}  // namespace moshi
