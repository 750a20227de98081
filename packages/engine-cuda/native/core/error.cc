#include "core/error.h"

namespace moshi {

std::string printable(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 100)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

}  // namespace moshi
