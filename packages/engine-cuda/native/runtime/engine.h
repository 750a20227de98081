// The engine: one native thread that steps every session with a whole frame waiting, all in one batch.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "runtime/checkpoint.h"
#include "runtime/session.h"

namespace moshi {

class Engine {
 public:
  Engine(std::unique_ptr<Checkpoint> checkpoint, int slots);
  ~Engine();

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  int slots() const { return slots_; }

  // Takes a slot; throws Error(kFull) when there is none. events.ready follows when the role prompt is read; models
  // without personas ignore it. Text that is not UTF-8 is taken as the tokenizer takes it.
  std::shared_ptr<Session> open(const SamplingOptions& options, const std::string& role, SessionEvents events);
  // Any number of samples; whole frames are queued. Values that are no numbers count as silence.
  void push(Session& session, const float* pcm, size_t count);
  size_t queued(const Session& session) const;
  // Starts the conversation anew and drops queued input; events.reset follows.
  void reset(Session& session);
  // Frees the slot at the next step boundary; events.closed follows and is the last event.
  void close(Session& session);

 private:
  void run();
  void step(const std::vector<std::shared_ptr<Session>>& ready);
  static void start_over(Session& session, int resets);
  // A failure of the task is reported to these sessions and ends them; the engine goes on.
  void guarded(const std::vector<std::shared_ptr<Session>>& sessions, const std::function<void()>& task);
  std::vector<StepInput> role_prompt(const std::string& role) const;
  // Reads the next part of the prompt, or reports that it is in.
  void prompt(Session& session) const;

  const std::unique_ptr<Checkpoint> checkpoint_;
  const int slots_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Session>> sessions_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace moshi
