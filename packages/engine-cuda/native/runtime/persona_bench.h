// How long it takes until a caller is answered, read three ways.
#pragma once

#include "runtime/checkpoint.h"
#include "runtime/session.h"

namespace moshi {

struct PersonaTimes {
  size_t steps = 0;
  double stepped_ms = 0;  // one position at a time and with depth steps, as the reference does
  double read_ms = 0;     // many positions at once, no depth steps
  double copied_ms = 0;   // from the state the last caller left
};

// Nothing else may use the checkpoint meanwhile. A recording counts from its codes on: it is encoded once.
PersonaTimes time_persona(const Checkpoint& checkpoint, const PersonaReader& persona);

}  // namespace moshi
