// Personas that were read lately: the next caller of the same one starts from a copy instead of reading it again.
#pragma once

#include <list>

#include "model/persona.h"

namespace moshi {

class PersonaCache {
 public:
  // Null when this persona is not (or no longer) kept. The pointer holds until the next put().
  const Remembered* find(const PersonaReader& persona);
  // Keeps the state right after a persona was read. The least recently used ones make room.
  void put(const PersonaReader& persona, Remembered state);

 private:
  struct Entry {
    std::shared_ptr<Voice> voice;  // held, so that its address stays its own
    std::vector<int32_t> text;
    Remembered state;
  };
  std::list<Entry> entries_;  // most recently used first
  size_t bytes_ = 0;
};

}  // namespace moshi
