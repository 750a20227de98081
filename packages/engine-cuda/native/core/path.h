// Paths are UTF-8 strings here; the standard library takes a plain string for Windows' code page.
#pragma once

#include <filesystem>
#include <string>

namespace moshi {

inline std::filesystem::path path_of(const std::string& utf8) {
  return std::u8string(utf8.begin(), utf8.end());
}

inline std::string utf8(const std::filesystem::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

}  // namespace moshi
