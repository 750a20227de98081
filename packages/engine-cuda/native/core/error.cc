#include "core/error.h"

namespace moshi {

std::string printable(std::string_view name, size_t most) {
  std::string out;
  for (const char c : name.substr(0, most)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

}  // namespace moshi
