// One conversation in the engine: input samples waiting, and everything the models remember of it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/generation.h"
#include "model/mimi.h"

namespace moshi {

struct FrameResult {
  int64_t step = 0;                 // index of the input frame this answers, from 0
  std::vector<float> pcm;           // one frame, empty while the delays fill
  int32_t token = -1;               // text token, -1 while the delays fill
  std::optional<std::string> text;  // the token's piece; none for padding
  double encode_ms = 0, lm_ms = 0, decode_ms = 0;
};

// Called on the engine's thread, never while a lock is held.
struct SessionEvents {
  std::function<void()> ready;  // the prompt is in; the first call
  std::function<void(FrameResult)> frame;
  std::function<void(const std::string& code, const std::string& message)> error;
  std::function<void()> reset;   // one call for every Engine::reset, when the prompt is in again
  std::function<void()> closed;  // the last call
};

// Fields above the line belong to the engine's lock, those below to its thread.
struct Session {
  Session(const Lm& lm, const Mimi& mimi, const SamplingOptions& options, std::vector<StepInput> prompt,
          SessionEvents events)
      : events(std::move(events)),
        prompt(std::move(prompt)),
        generation(lm, options),
        encoder(mimi.make_encoder()),
        decoder(mimi.make_decoder()) {
    when_prompted.push_back(this->events.ready);
    encoder.transformer.fork = decoder.transformer.fork = lm.config().dialect == Dialect::PersonaPlex;
  }

  std::deque<std::vector<float>> frames;
  std::vector<float> remainder;
  int resets = 0;
  bool closing = false;
  // ----
  SessionEvents events;
  const std::vector<StepInput> prompt;               // read before the first frame
  size_t prompted = 0;                               // steps of it that are in
  std::vector<std::function<void()>> when_prompted;  // whom to tell then; empty once the conversation is on
  Generation generation;
  MimiState encoder, decoder;
  std::vector<int32_t> codes;
  FrameResult result;
};

}  // namespace moshi
