#include "runtime/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/error.h"
#include "model/persona.h"

namespace moshi {

namespace {

// Ten minutes of audio: a caller who pushes more without waiting has a fault, and memory must stay bounded.
constexpr size_t kMaxQueuedFrames = 7500;

// As many steps as a conversation of 240 s has: a longer prompt would push itself out of the model's context.
constexpr size_t kMaxPromptTokens = 2900;

// Prompt steps read before other sessions get their turn.
constexpr size_t kPromptPart = 32;

class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - start_).count();
    start_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

Engine::Engine(std::unique_ptr<Checkpoint> checkpoint, int slots)
    : checkpoint_(std::move(checkpoint)), slots_(slots), thread_([this] { run(); }) {}

Engine::~Engine() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::vector<StepInput> Engine::role_prompt(const std::string& role) const {
  const std::string wrapped = wrap_with_system_tags(role);
  if (checkpoint_->lm->config().dialect != Dialect::PersonaPlex || wrapped.empty()) return {};
  std::vector<int32_t> text;
  for (const auto& token : checkpoint_->tokenizer.encode(wrapped)) {
    if (token.id >= checkpoint_->lm->config().text_card)
      throw Error(kBadOption,
                  "the prompt needs a piece of the tokenizer that this model does not know: " + token.piece);
    text.push_back(token.id);
  }
  if (text.size() > kMaxPromptTokens)
    throw Error(kBadOption, "the prompt is " + std::to_string(text.size()) + " tokens long; shorten it to " +
                                std::to_string(kMaxPromptTokens));
  return persona_steps(checkpoint_->lm->config(), text);
}

std::shared_ptr<Session> Engine::open(const SamplingOptions& options, const std::string& role, SessionEvents events) {
  std::vector<StepInput> prompt = role_prompt(role);
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) throw Error(kClosed, "the engine is closed");
  if (sessions_.size() >= static_cast<size_t>(slots_))
    throw Error(kFull, "all " + std::to_string(slots_) +
                           " slots are taken; wait for a session to close or load with more slots");
  auto session =
      std::make_shared<Session>(*checkpoint_->lm, *checkpoint_->mimi, options, std::move(prompt), std::move(events));
  sessions_.push_back(session);
  wake_.notify_one();
  return session;
}

void Engine::push(Session& session, const float* pcm, size_t count) {
  const size_t frame = static_cast<size_t>(checkpoint_->mimi->frame_samples());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (session.closing || stopping_) throw Error(kClosed, "the session is closed");
    if (session.frames.size() + count / frame > kMaxQueuedFrames)
      throw Error(kBadOption, "more than ten minutes of audio are waiting; push no faster than frames come back");
    for (size_t i = 0; i < count; ++i) {
      session.remainder.push_back(std::isfinite(pcm[i]) ? pcm[i] : 0.0f);
      if (session.remainder.size() < frame) continue;
      session.frames.push_back(std::move(session.remainder));
      session.remainder.clear();
      session.remainder.reserve(frame);
    }
  }
  wake_.notify_one();
}

size_t Engine::queued(const Session& session) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return session.frames.size();
}

void Engine::reset(Session& session) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (session.closing || stopping_) throw Error(kClosed, "the session is closed");
    session.frames.clear();
    session.remainder.clear();
    ++session.resets;
  }
  wake_.notify_one();
}

void Engine::close(Session& session) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    session.closing = true;
    session.frames.clear();
  }
  wake_.notify_one();
}

void Engine::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto busy = [](const auto& s) {
    return s->closing || s->resets > 0 || !s->when_prompted.empty() || !s->frames.empty();
  };
  for (bool last = false; !last;) {
    wake_.wait(lock, [&] { return stopping_ || std::any_of(sessions_.begin(), sessions_.end(), busy); });
    last = stopping_;
    std::vector<std::shared_ptr<Session>> closed, starting, ready;
    for (const auto& session : sessions_) {
      if (session->closing || stopping_) {
        closed.push_back(session);
      } else if (const int resets = std::exchange(session->resets, 0); resets > 0) {
        start_over(*session, resets);
        starting.push_back(session);
      } else if (!session->when_prompted.empty()) {
        starting.push_back(session);
      } else if (!session->frames.empty()) {
        session->result.pcm = std::move(session->frames.front());
        session->frames.pop_front();
        ready.push_back(session);
      }
    }
    std::erase_if(sessions_, [&](const auto& s) { return std::find(closed.begin(), closed.end(), s) != closed.end(); });
    lock.unlock();

    for (const auto& session : closed) session->events.closed();
    for (const auto& session : starting) guarded({session}, [&] { prompt(*session); });
    if (!ready.empty()) guarded(ready, [&] { step(ready); });
    closed.clear(), starting.clear(), ready.clear();
    lock.lock();
  }
}

void Engine::guarded(const std::vector<std::shared_ptr<Session>>& sessions, const std::function<void()>& task) {
  try {
    task();
  } catch (const std::exception& error) {
    const auto* known = dynamic_cast<const Error*>(&error);
    for (const auto& session : sessions) {
      session->events.error(known ? known->code() : kBadModel, error.what());
      close(*session);
    }
  }
}

void Engine::start_over(Session& session, int resets) {
  session.generation.reset();
  session.encoder.reset();
  session.decoder.reset();
  session.result.step = 0;
  session.prompted = 0;
  session.when_prompted.insert(session.when_prompted.end(), static_cast<size_t>(resets), session.events.reset);
}

void Engine::prompt(Session& session) const {
  if (session.prompted < session.prompt.size()) {
    const auto part = std::span(session.prompt).subspan(session.prompted);
    session.prompted += session.generation.prefill(*checkpoint_->lm, part.first(std::min(part.size(), kPromptPart)));
  }
  if (session.prompted < session.prompt.size()) return;
  for (const auto& tell : std::exchange(session.when_prompted, {})) tell();
}

void Engine::step(const std::vector<std::shared_ptr<Session>>& ready) {
  const LmConfig& config = checkpoint_->lm->config();
  const Mimi& mimi = *checkpoint_->mimi;
  std::vector<Generation*> generations;
  std::vector<StepInput> user;
  for (const auto& session : ready) {
    Stopwatch watch;
    session->codes.resize(static_cast<size_t>(config.user_codebooks()));
    mimi.encode(session->encoder, session->result.pcm.data(), 1, config.user_codebooks(), session->codes.data());
    // Moshi ignores the first frame; the codec's padding at the start must come again with the first one that counts.
    if (config.dialect == Dialect::Moshi && session->generation.steps() == 0) {
      session->encoder.reset();
      session->decoder.reset();
    }
    session->result.encode_ms = watch.lap();
    generations.push_back(&session->generation);
    user.push_back({session->codes.data()});
  }
  Stopwatch watch;
  Generation::step(*checkpoint_->lm, generations, user);
  const double lm_ms = watch.lap();

  std::vector<int32_t> tokens;
  for (const auto& session : ready) {
    FrameResult& result = session->result;
    result.lm_ms = lm_ms;
    result.decode_ms = 0;
    result.token = -1;
    result.text.reset();
    result.pcm.clear();
    if (session->generation.emitted(tokens)) {
      watch.lap();
      result.pcm.resize(static_cast<size_t>(mimi.frame_samples()));
      mimi.decode(session->decoder, tokens.data() + 1, 1, config.own_codebooks(), result.pcm.data());
      result.decode_ms = watch.lap();
      if (!std::all_of(result.pcm.begin(), result.pcm.end(), [](float v) { return std::isfinite(v); })) {
        session->events.error(kBadModel,
                              "the model's sound is not a number: its weights are broken, download them again");
        close(*session);
        continue;
      }
      result.token = tokens[0];
      if (result.token != config.text_padding && result.token != config.text_end_padding)
        result.text = checkpoint_->tokenizer.wire_text(result.token);
    }
    const int64_t step = result.step;
    session->events.frame(std::move(result));
    session->result = {};
    session->result.step = step + 1;
  }
}

}  // namespace moshi
