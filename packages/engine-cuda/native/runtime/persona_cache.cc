#include "runtime/persona_cache.h"

#include <algorithm>

namespace moshi {

namespace {

// A 7B model remembers about 1 MB a step: room for half a dozen usual personas.
constexpr size_t kMaxBytes = size_t{1} << 30;
constexpr size_t kMaxEntries = 64;

}  // namespace

const Remembered* PersonaCache::find(const PersonaReader& persona) {
  const auto same = [&](const Entry& entry) { return entry.voice == persona.voice() && entry.text == persona.text(); };
  const auto found = std::find_if(entries_.begin(), entries_.end(), same);
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front().state;
}

void PersonaCache::put(const PersonaReader& persona, Remembered state) {
  if (state.bytes() > kMaxBytes || find(persona)) return;
  bytes_ += state.bytes();
  entries_.push_front({persona.voice(), persona.text(), std::move(state)});
  while (bytes_ > kMaxBytes || entries_.size() > kMaxEntries) {
    bytes_ -= entries_.back().state.bytes();
    entries_.pop_back();
  }
}

}  // namespace moshi
