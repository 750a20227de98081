// One conversation in the engine: input samples waiting, and everything the models remember of it.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/generation.h"
#include "model/mimi.h"
#include "model/persona.h"
#include "runtime/speech.h"

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
  std::function<void(const SayEvent&)> say;  // Start and Word before the frame with the word's first piece, End after
  std::function<void(const std::string& code, const std::string& message)> error;
  std::function<void()> reset;   // one call for every Engine::reset, when the prompt is in again
  std::function<void()> closed;  // the last call
};

// What a conversation is opened with.
struct OpenOptions {
  SamplingOptions sampling;
  std::shared_ptr<Voice> voice;  // null = none
  std::string role;              // empty = none
  bool say_only = false;         // the model speaks only what it is given
};

// Fields above the line belong to the engine's lock, those below to its thread.
struct Session {
  Session(const Lm& lm, const Mimi& mimi, const SentencePiece& tokenizer, const OpenOptions& options,
          PersonaReader persona, SessionEvents events)
      : events(std::move(events)),
        persona(std::move(persona)),
        speech(tokenizer, lm.config(), options.say_only),
        generation(lm, options.sampling),
        encoder(mimi.make_encoder()),
        decoder(mimi.make_decoder()) {
    generation.follow(&speech);
    when_prompted.push_back(this->events.ready);
    encoder.transformer.fork = decoder.transformer.fork = lm.config().dialect == Dialect::PersonaPlex;
  }

  std::deque<std::vector<float>> frames;
  std::vector<float> remainder;
  std::vector<std::function<void(Speech&)>> orders;  // for the next step
  int64_t says = 0;                                  // how many were asked for; the last one's id
  int resets = 0;
  bool closing = false;
  std::atomic<int> saying = 0;  // not ended yet
  // ----
  SessionEvents events;
  PersonaReader persona;                             // read before the first frame
  std::vector<std::function<void()>> when_prompted;  // whom to tell then; empty once the conversation is on
  Speech speech;
  Generation generation;
  MimiState encoder, decoder;
  std::vector<int32_t> codes;
  FrameResult result;
};

}  // namespace moshi
