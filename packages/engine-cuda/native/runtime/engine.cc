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

constexpr int kMaxSays = 100;

// Power of a frame, about -45 dBFS, from which on somebody is talking in it.
constexpr float kSound = 3e-5f;

bool has_sound(const std::vector<float>& pcm) {
  float power = 0;
  for (const float value : pcm) power += value * value;
  return power > kSound * static_cast<float>(pcm.size());
}

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

Engine::Engine(std::unique_ptr<Checkpoint> checkpoint, const EngineOptions& options)
    : checkpoint_(std::move(checkpoint)), options_(options) {
  if (options.rehearse) rehearse();
  thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

PersonaReader Engine::persona(const OpenOptions& options) const {
  const LmConfig& config = checkpoint_->lm->config();
  if (config.dialect != Dialect::PersonaPlex) return {config, nullptr, {}};
  std::vector<int32_t> text;
  for (const auto& token : checkpoint_->tokenizer.encode(wrap_with_system_tags(options.role))) {
    if (token.id >= config.text_card)
      throw Error(kBadOption,
                  "the prompt needs a piece of the tokenizer that this model does not know: " + token.piece);
    text.push_back(token.id);
  }
  return {config, options.voice, std::move(text)};
}

std::shared_ptr<Session> Engine::open(const OpenOptions& options, SessionEvents events) {
  PersonaReader persona = this->persona(options);
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) throw Error(kClosed, "the engine is closed");
  if (sessions_.size() >= static_cast<size_t>(slots()))
    throw Error(kFull, "all " + std::to_string(slots()) +
                           " slots are taken; wait for a session to close or load with more slots");
  auto session = std::make_shared<Session>(*checkpoint_->lm, *checkpoint_->mimi, checkpoint_->tokenizer, options,
                                           std::move(persona), std::move(events));
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

int64_t Engine::say(Session& session, const std::string& text, Floor floor) {
  // Before the work of cutting it into words, which a flood must not cost.
  if (session.saying >= kMaxSays)
    throw Error(kBadOption, std::to_string(kMaxSays) + " texts are waiting to be said; wait for one to end or cancel");
  std::vector<SpokenWord> words = words_to_say(checkpoint_->tokenizer, checkpoint_->lm->config(), text);
  std::lock_guard<std::mutex> lock(mutex_);
  if (session.closing || stopping_) throw Error(kClosed, "the session is closed");
  ++session.saying;
  const int64_t id = ++session.says;
  session.orders.emplace_back([=, words = std::move(words)](Speech& speech) { speech.say(id, text, words, floor); });
  wake_.notify_one();
  return id;
}

void Engine::cancel_say(Session& session, int64_t number) {
  order(session, [number](Speech& speech) { speech.cancel(number); });
}

void Engine::interrupt(Session& session) {
  order(session, [](Speech& speech) { speech.interrupt(); });
}

void Engine::end_turn(Session& session) {
  order(session, [](Speech& speech) { speech.end_turn(); });
}

std::future<PersonaTimes> Engine::time_persona(const OpenOptions& options) {
  auto task = std::make_shared<std::packaged_task<PersonaTimes()>>(
      [this, reader = persona(options)] { return moshi::time_persona(*checkpoint_, reader); });
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) throw Error(kClosed, "the engine is closed");
  jobs_.emplace_back([task] { (*task)(); });
  wake_.notify_one();
  return task->get_future();
}

void Engine::order(Session& session, std::function<void(Speech&)> order) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (session.closing || stopping_) throw Error(kClosed, "the session is closed");
  session.orders.push_back(std::move(order));
  wake_.notify_one();
}

void Engine::tell(Session& session, const std::vector<SayEvent>& events) {
  for (const SayEvent& event : events) {
    if (event.kind == SayEvent::Kind::End) --session.saying;
    session.events.say(event);
  }
}

void Engine::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto busy = [](const auto& s) {
    return s->closing || s->resets > 0 || !s->orders.empty() || !s->when_prompted.empty() || !s->frames.empty();
  };
  for (bool last = false; !last;) {
    wake_.wait(lock,
               [&] { return stopping_ || !jobs_.empty() || std::any_of(sessions_.begin(), sessions_.end(), busy); });
    last = stopping_;
    const auto jobs = std::exchange(jobs_, {});
    std::vector<std::shared_ptr<Session>> closed, starting, ready, ordered;
    for (const auto& session : sessions_) {
      if (!session->orders.empty()) ordered.push_back(session);
      for (const auto& order : std::exchange(session->orders, {})) order(session->speech);
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

    for (const auto& job : jobs) job();
    // A text that never began may end while nothing is stepped.
    for (const auto& session : ordered)
      tell(*session, session->speech.events(session->generation.emitted_position(), false));
    for (const auto& session : closed) session->events.closed();
    for (const auto& session : starting) guarded({session}, [&] { prompt(*session); });
    if (!ready.empty()) guarded(ready, [&] { step(ready); });
    closed.clear(), starting.clear(), ready.clear(), ordered.clear();
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

// As conversations will run, so that what a device makes for a step is made now, and what does not fit shows now.
void Engine::rehearse() {
  const Lm& lm = *checkpoint_->lm;
  const SessionEvents nobody{
      [] {}, [](const FrameResult&) {}, [](const SayEvent&) {}, [](const std::string&, const std::string&) {}, [] {},
      [] {}};
  std::vector<std::shared_ptr<Session>> all;
  for (int i = 0; i < slots(); ++i) {
    all.push_back(std::make_shared<Session>(lm, *checkpoint_->mimi, checkpoint_->tokenizer, OpenOptions{},
                                            PersonaReader(lm.config(), nullptr, {}), nobody));
  }
  // A role is read many positions at a time.
  PersonaReader role(lm.config(), nullptr, std::vector<int32_t>(64, lm.config().text_padding));
  if (lm.config().dialect == Dialect::PersonaPlex)
    while (!role.read(lm, checkpoint_->mimi.get(), all[0]->generation)) continue;
  for (const auto& session : all)
    if (options_.full) session->generation.come_to(*checkpoint_->backend, lm.config().temporal.context - 1);
  // Twice before it is timed: a device records the second one.
  constexpr int kRounds = 4, kTimed = 2;
  const auto time = [&](int count) {
    const std::vector<std::shared_ptr<Session>> some(all.begin(), all.begin() + count);
    double best = INFINITY;
    for (int round = 0; round < kRounds; ++round) {
      for (const auto& session : some)
        session->result.pcm.assign(static_cast<size_t>(checkpoint_->mimi->frame_samples()), 0.0f);
      Stopwatch watch;
      step(some);
      if (const double ms = watch.lap(); round >= kRounds - kTimed) best = std::min(best, ms);
    }
    return best;
  };
  checkpoint_->backend->tune([&] { return time(1); });
  for (int n = 1; n < 2 * slots(); n *= 2) {
    const int count = std::min(n, slots());
    rehearsed_.push_back({count, time(count)});
  }
}

void Engine::start_over(Session& session, int resets) {
  session.generation.reset();
  session.encoder.reset();
  session.decoder.reset();
  session.result.step = 0;
  session.persona.restart();
  session.speech.reset();
  tell(session, session.speech.events(0, false));
  session.when_prompted.insert(session.when_prompted.end(), static_cast<size_t>(resets), session.events.reset);
}

void Engine::prompt(Session& session) {
  PersonaReader& persona = session.persona;
  if (!persona.empty()) {
    if (const Remembered* known = personas_.find(persona)) {
      session.generation.recall(*checkpoint_->backend, *known);
    } else {
      if (!persona.read(*checkpoint_->lm, checkpoint_->mimi.get(), session.generation)) return;
      personas_.put(persona, session.generation.remember(*checkpoint_->backend));
    }
  }
  for (const auto& tell : std::exchange(session.when_prompted, {})) tell();
}

void Engine::encode(std::span<const std::shared_ptr<Session>> sessions) {
  const LmConfig& config = checkpoint_->lm->config();
  const Mimi& mimi = *checkpoint_->mimi;
  const auto frame = static_cast<size_t>(mimi.frame_samples()), count = static_cast<size_t>(config.user_codebooks());
  Stopwatch watch;
  std::vector<MimiState*> states;
  std::vector<float> pcm;
  std::vector<int32_t> codes(sessions.size() * count);
  pcm.reserve(sessions.size() * frame);
  for (const auto& session : sessions) {
    states.push_back(&session->encoder);
    pcm.insert(pcm.end(), session->result.pcm.begin(), session->result.pcm.end());
  }
  mimi.encode(states, pcm.data(), 1, config.user_codebooks(), codes.data());
  const double ms = watch.lap();
  for (size_t i = 0; i < sessions.size(); ++i) {
    Session& session = *sessions[i];
    session.codes.assign(&codes[i * count], &codes[i * count] + count);
    session.result.encode_ms = ms;
    if (config.dialect != Dialect::Moshi || session.generation.steps() > 0) continue;
    // Moshi ignores the first frame; the codec's padding at the start must come again with the first one that counts.
    session.encoder.reset();
    session.decoder.reset();
  }
}

void Engine::decode(std::span<const std::shared_ptr<Session>> sessions) {
  const Mimi& mimi = *checkpoint_->mimi;
  const auto frame = static_cast<size_t>(mimi.frame_samples());
  const int count = checkpoint_->lm->config().own_codebooks();
  std::vector<Session*> speaking;
  std::vector<MimiState*> states;
  std::vector<int32_t> tokens, codes;
  for (const auto& session : sessions) {
    FrameResult& result = session->result;
    result.decode_ms = 0;
    result.token = -1;
    result.text.reset();
    result.pcm.clear();
    if (!session->generation.emitted(tokens)) continue;
    result.token = tokens[0];
    speaking.push_back(session.get());
    states.push_back(&session->decoder);
    codes.insert(codes.end(), tokens.begin() + 1, tokens.begin() + 1 + count);
  }
  if (speaking.empty()) return;
  Stopwatch watch;
  std::vector<float> pcm(speaking.size() * frame);
  mimi.decode(states, codes.data(), 1, count, pcm.data());
  const double ms = watch.lap();
  for (size_t i = 0; i < speaking.size(); ++i) {
    speaking[i]->result.pcm.assign(&pcm[i * frame], &pcm[i * frame] + frame);
    speaking[i]->result.decode_ms = ms;
  }
}

void Engine::step(const std::vector<std::shared_ptr<Session>>& ready) {
  const LmConfig& config = checkpoint_->lm->config();
  const auto codec = [&](void (Engine::*work)(std::span<const std::shared_ptr<Session>>)) {
    checkpoint_->backend->share(static_cast<int64_t>(ready.size()), [&](int64_t begin, int64_t end) {
      (this->*work)({ready.data() + begin, static_cast<size_t>(end - begin)});
    });
  };
  codec(&Engine::encode);
  std::vector<Generation*> generations;
  std::vector<StepInput> user;
  for (const auto& session : ready) {
    session->speech.hear(has_sound(session->result.pcm));
    generations.push_back(&session->generation);
    user.push_back({session->codes.data()});
  }
  Stopwatch watch;
  Generation::step(*checkpoint_->lm, generations, user);
  const double lm_ms = watch.lap();
  codec(&Engine::decode);

  for (const auto& session : ready) {
    FrameResult& result = session->result;
    result.lm_ms = lm_ms;
    if (!std::all_of(result.pcm.begin(), result.pcm.end(), [](float v) { return std::isfinite(v); })) {
      session->events.error(kBadModel,
                            "the model's sound is not a number: its weights are broken, download them again");
      close(*session);
      continue;
    }
    if (result.token >= 0 && result.token != config.text_padding && result.token != config.text_end_padding)
      result.text = checkpoint_->tokenizer.wire_text(result.token);
    const int64_t step = result.step, position = session->generation.emitted_position();
    tell(*session, session->speech.events(position, true));
    session->events.frame(std::move(result));
    tell(*session, session->speech.events(position, false));
    session->result = {};
    session->result.step = step + 1;
  }
}

}  // namespace moshi
