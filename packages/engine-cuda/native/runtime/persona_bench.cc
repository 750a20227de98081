#include "runtime/persona_bench.h"

#include <chrono>
#include <functional>

namespace moshi {

namespace {

double milliseconds(const std::function<void()>& task) {
  const auto start = std::chrono::steady_clock::now();
  task();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void read_all(PersonaReader reader, const Checkpoint& checkpoint, Generation& generation) {
  while (!reader.read(*checkpoint.lm, checkpoint.mimi.get(), generation)) {
  }
}

// Embeddings have no tokens; frames of silence cost the same.
std::vector<StepInput> steps_of(const PersonaReader& persona, const LmConfig& config) {
  std::vector<StepInput> steps = persona_steps(config, persona.voice().get(), persona.text());
  while (steps.size() < persona.size()) steps.insert(steps.begin(), steps.back());
  return steps;
}

}  // namespace

PersonaTimes time_persona(const Checkpoint& checkpoint, const PersonaReader& persona) {
  PersonaTimes times;
  if (persona.empty()) return times;
  Generation first(*checkpoint.lm, {});
  read_all(persona, checkpoint, first);  // a recording gets its codes, memory its pages

  Generation stepped(*checkpoint.lm, {}), read(*checkpoint.lm, {}), copied(*checkpoint.lm, {});
  times.steps = persona.size();
  times.stepped_ms = milliseconds([&] {
    for (const StepInput& input : steps_of(persona, checkpoint.lm->config())) {
      Generation* all[] = {&stepped};
      std::vector<StepTrace> trace;
      Generation::step(*checkpoint.lm, all, {&input, 1}, &trace);
    }
  });
  times.read_ms = milliseconds([&] { read_all(persona, checkpoint, read); });
  const Remembered kept = read.remember(*checkpoint.backend);
  times.copied_ms = milliseconds([&] { copied.recall(*checkpoint.backend, kept); });
  return times;
}

}  // namespace moshi
