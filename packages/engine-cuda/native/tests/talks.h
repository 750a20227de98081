// Conversations for checks of batches, with all that can be seen of each, to be compared to the bit.
#pragma once

#include <map>
#include <random>
#include <span>
#include <vector>

#include "model/generation.h"

namespace moshi {

struct Talk {
  Talk(const Lm& lm, int number) : generation(lm, options(number)), number(number) {}
  static SamplingOptions options(int number) {
    SamplingOptions out;
    out.text_seed = static_cast<uint64_t>(number);
    out.audio_seed = static_cast<uint64_t>(number + 1);
    // Every other one holds its last words against the model: what a step needs of the device's memory grows with them.
    if (number % 2 == 1) out.repetition_penalty = 1.3f, out.repetition_context = 24;
    return out;
  }
  // What the user says on its next step.
  std::vector<int32_t> user(const LmConfig& config) const {
    std::vector<int32_t> out;
    for (int k = 0; k < config.user_codebooks(); ++k)
      out.push_back(static_cast<int32_t>((number * 131 + generation.steps() * 17 + k * 29) % config.card));
    return out;
  }

  Generation generation;
  int number;
  std::vector<int32_t> said;                     // every token that came out, step after step
  std::map<int64_t, std::vector<float>> logits;  // of the codebooks, by step where it was watched
};

// What is left of a conversation when it and its model are gone.
struct Record {
  explicit Record(const Lm& lm, const Talk& talk) : said(talk.said), logits(talk.logits) {
    const TransformerState& state = talk.generation.temporal();
    const int64_t rows = std::min(state.position, state.cache.capacity());
    for (int layer = 0; layer < state.cache.layers(); ++layer)
      for (const bool values : {false, true}) {
        const std::vector<float> part = state.cache.read(lm.backend(), layer, values, rows);
        ring.insert(ring.end(), part.begin(), part.end());
      }
  }
  // Logits are held against each other where both were watched.
  bool same(const Record& other) const {
    for (const auto& [step, values] : logits)
      if (const auto found = other.logits.find(step); found != other.logits.end() && found->second != values)
        return false;
    return said == other.said && ring == other.ring && !said.empty() && !ring.empty();
  }

  std::vector<int32_t> said;
  std::map<int64_t, std::vector<float>> logits;
  std::vector<float> ring;  // keys and values of all layers
};

// Watched, a step is run piece by piece; otherwise as a program.
inline void step(const Lm& lm, const std::vector<Talk*>& talks, bool watched) {
  std::vector<Generation*> generations;
  std::vector<std::vector<int32_t>> users;
  std::vector<StepInput> inputs;
  std::vector<StepTrace> traces;
  for (Talk* talk : talks) {
    generations.push_back(&talk->generation);
    users.push_back(talk->user(lm.config()));
  }
  for (const auto& user : users) inputs.push_back({user.data()});
  Generation::step(lm, generations, inputs, watched ? &traces : nullptr);
  for (size_t i = 0; i < talks.size(); ++i) {
    Talk& talk = *talks[i];
    if (watched) talk.logits[talk.generation.steps()] = std::move(traces[i].audio_logits);
    std::vector<int32_t> tokens;
    if (talk.generation.emitted(tokens)) talk.said.insert(talk.said.end(), tokens.begin(), tokens.end());
  }
}

inline Record alone(const Lm& lm, int number, int steps, bool watched) {
  Talk talk(lm, number);
  for (int s = 0; s < steps; ++s) step(lm, {&talk}, watched);
  return Record(lm, talk);
}

// Conversations 0 … count - 1, each of which sits out some of the rounds. Every so many rounds are watched.
inline std::vector<Record> in_company(const Lm& lm, int count, int steps, std::mt19937& random, int watch_every) {
  std::vector<Talk> crowd;
  for (int i = 0; i < count; ++i) crowd.emplace_back(lm, i);
  int round = 0;
  for (bool any = true; any;) {
    any = false;
    std::vector<Talk*> now;
    for (Talk& talk : crowd) {
      if (talk.generation.steps() == steps) continue;
      any = true;
      if (random() % 3 > 0) now.push_back(&talk);
    }
    if (!now.empty()) step(lm, now, ++round % watch_every == 0);
  }
  std::vector<Record> out;
  for (const Talk& talk : crowd) out.emplace_back(lm, talk);
  return out;
}

}  // namespace moshi
