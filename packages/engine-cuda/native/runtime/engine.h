// The engine: one native thread that steps every session with a whole frame waiting, all in one batch.
#pragma once

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "runtime/checkpoint.h"
#include "runtime/persona_bench.h"
#include "runtime/persona_cache.h"
#include "runtime/session.h"

namespace moshi {

struct EngineOptions {
  int slots = 1;
  // Whether frames are tried out first, and whether with rings as full as they get: then all memory that conversations
  // need has been there once.
  bool rehearse = false, full = false;
};

// What a frame of so many conversations took.
struct Rehearsed {
  int sessions;
  double ms;
};

class Engine {
 public:
  Engine(std::unique_ptr<Checkpoint> checkpoint, const EngineOptions& options);
  ~Engine();

  // Shared: what reads voices beside the engine's thread may outlive the engine.
  std::shared_ptr<const Checkpoint> checkpoint() const { return checkpoint_; }
  int slots() const { return options_.slots; }
  // For 1, 2, 4 … slots; none when nothing was tried out.
  const std::vector<Rehearsed>& rehearsed() const { return rehearsed_; }

  // Takes a slot; throws Error(kFull) when there is none. events.ready follows when voice and role are read; models
  // without personas ignore both. Text that is not UTF-8 is taken as the tokenizer takes it.
  std::shared_ptr<Session> open(const OpenOptions& options, SessionEvents events);
  // Any number of samples; whole frames are queued. Values that are no numbers count as silence.
  void push(Session& session, const float* pcm, size_t count);
  size_t queued(const Session& session) const;
  // Starts the conversation anew and drops queued input; events.reset follows.
  void reset(Session& session);
  // Frees the slot at the next step boundary; events.closed follows and is the last event.
  void close(Session& session);

  // Queues text to be spoken and returns its number, from 1; events.say follows. Throws Error(kBadOption) on text that
  // cannot be said and when 100 are waiting.
  int64_t say(Session& session, const std::string& text, Floor floor);
  // Number 0 cancels all.
  void cancel_say(Session& session, int64_t number);
  // The model stops speaking.
  void interrupt(Session& session);
  // The user has finished: the model begins to speak.
  void end_turn(Session& session);

  // Reads a persona in three ways on the engine's thread.
  std::future<PersonaTimes> time_persona(const OpenOptions& options);

 private:
  void rehearse();
  void run();
  void step(const std::vector<std::shared_ptr<Session>>& ready);
  // Of sessions that take a turn of the codec together.
  void encode(std::span<const std::shared_ptr<Session>> sessions);
  void decode(std::span<const std::shared_ptr<Session>> sessions);
  static void start_over(Session& session, int resets);
  // A failure of the task is reported to these sessions and ends them; the engine goes on. When it is the device that
  // is lost, whoever listens tells the others, since threads that open sessions and read voices may find it out first.
  void guarded(const std::vector<std::shared_ptr<Session>>& sessions, const std::function<void()>& task);
  PersonaReader persona(const OpenOptions& options) const;
  void order(Session& session, std::function<void(Speech&)> order);
  // Reads the next part of the persona, or reports that it is in.
  void prompt(Session& session);
  static void tell(Session& session, const std::vector<SayEvent>& events);

  const std::shared_ptr<const Checkpoint> checkpoint_;
  const EngineOptions options_;
  std::vector<Rehearsed> rehearsed_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Session>> sessions_;
  PersonaCache personas_;                    // the thread's
  std::vector<std::function<void()>> jobs_;  // for the thread, between two steps
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace moshi
