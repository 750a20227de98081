// The engine's thread: sessions that open, close, reset and fall silent while others run (also under ThreadSanitizer).
#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "runtime/engine.h"
#include "tests/checks.h"

namespace moshi {

namespace {

// Collects one session's events and waits for them.
struct Listener {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int32_t> tokens;
  std::vector<float> pcm;
  std::vector<SayEvent> said;
  int starts = 0, frames = 0, resets = 0, errors = 0;
  bool closed = false;

  SessionEvents events() {
    const auto note = [this](auto change) {
      const std::lock_guard<std::mutex> lock(mutex);
      change();
      changed.notify_all();
    };
    SessionEvents out;
    out.ready = [this, note] { note([&] { ++starts; }); };
    out.frame = [this, note](FrameResult frame) {
      note([&] {
        ++frames;
        tokens.push_back(frame.token);
        pcm.insert(pcm.end(), frame.pcm.begin(), frame.pcm.end());
      });
    };
    out.say = [this, note](const SayEvent& event) { note([&] { said.push_back(event); }); };
    out.error = [this, note](const std::string&, const std::string&) { note([&] { ++errors; }); };
    out.reset = [this, note] { note([&] { ++resets; }); };
    out.closed = [this, note] { note([&] { closed = true; }); };
    return out;
  }
  template <typename Condition>
  void wait(Condition condition) {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, condition);
  }
};

std::vector<float> tone(int frames) {
  std::vector<float> out(static_cast<size_t>(frames) * 1920);
  for (size_t i = 0; i < out.size(); ++i) out[i] = 0.3f * static_cast<float>(i % 97) / 97.0f - 0.15f;
  return out;
}

}  // namespace

void check_runtime(const std::string& folder) {
  const CheckpointFiles files{folder + "/config.json", folder + "/model.safetensors", folder + "/mimi.safetensors",
                              folder + "/mimi_config.json", folder + "/tokenizer.model"};
  // Listeners outlive the engine, whose last events come while it is destroyed.
  Listener alone, again, guest, other;
  Engine engine(std::make_unique<Checkpoint>(files, std::make_unique<CpuBackend>(2)), {.slots = 3});
  OpenOptions options;
  options.sampling.text_seed = options.sampling.audio_seed = 5;
  const std::vector<float> input = tone(20);

  {
    const auto session = engine.open(options, alone.events());
    engine.push(*session, input.data(), input.size());
    alone.wait([&] { return alone.frames == 20; });
    engine.close(*session);
    alone.wait([&] { return alone.closed; });
  }
  expect(alone.starts == 1, "a session says once that it is ready");
  expect(alone.pcm.size() == 19u * 1920, "20 frames in give 19 frames out");
  expect(alone.tokens.front() == -1 && alone.tokens.back() >= 0, "the first step gives no token");

  // The same conversation among two others that come and go, pushed in odd pieces.
  const auto session = engine.open(options, again.events());
  OpenOptions strange = options;
  strange.sampling.text_seed = 77;
  const auto second = engine.open(strange, guest.events());
  std::thread crowd([&] {
    for (int i = 0; i < 5; ++i) {
      Listener brief;
      const auto visit = engine.open(strange, brief.events());
      engine.push(*visit, input.data(), 1920 * 3 + 100);
      engine.close(*visit);
      brief.wait([&] { return brief.closed; });
    }
  });
  for (size_t at = 0; at < input.size(); at += 777) {
    engine.push(*session, &input[at], std::min<size_t>(777, input.size() - at));
    engine.push(*second, &input[at], std::min<size_t>(777, input.size() - at));
  }
  again.wait([&] { return again.frames == 20; });
  crowd.join();
  guest.wait([&] { return guest.frames == 20; });
  expect(again.pcm == alone.pcm && again.tokens == alone.tokens, "company changes no bit of a session's output");
  expect(guest.tokens != alone.tokens, "another seed says something else");

  const auto third = engine.open(strange, other.events());
  bool full = false;
  try {
    Listener nobody;
    engine.open(strange, nobody.events());
  } catch (const Error& error) {
    full = error.code() == kFull;
  }
  expect(full, "a fourth session in three slots is refused as full");

  // Texts given and taken back while frames are stepped on the engine's own thread.
  const int64_t spoken = engine.say(*session, "hello there", Floor::Interrupt);
  const int64_t taken = engine.say(*session, "never mind", Floor::Wait);
  engine.cancel_say(*session, taken);
  engine.end_turn(*session);
  const auto ended = [&](int64_t id) {
    return std::find_if(again.said.begin(), again.said.end(), [&](const SayEvent& event) {
             return event.id == id && event.kind == SayEvent::Kind::End;
           }) != again.said.end();
  };
  for (int i = 0; i < 10; ++i) engine.push(*session, input.data(), input.size() / 2);
  again.wait([&] { return ended(spoken) && ended(taken) && again.frames == 120; });
  expect(again.said.front().kind == SayEvent::Kind::End && again.said.front().id == taken,
         "a text that was taken back is not spoken");
  expect(again.said.back().completed && again.said.back().text == "hello there", "a text is spoken to its end");
  engine.interrupt(*session);

  engine.reset(*session);
  again.wait([&] { return again.resets == 1; });
  again.pcm.clear();
  again.tokens.clear();
  again.frames = 0;
  engine.push(*session, input.data(), input.size());
  again.wait([&] { return again.frames == 20; });
  expect(again.pcm == alone.pcm, "after a reset a session is as new");

  std::vector<float> poison = input;
  poison[5] = NAN;
  poison[9] = INFINITY;
  engine.push(*third, poison.data(), 1920 * 2);
  other.wait([&] { return other.frames == 2; });
  bool finite = true;
  for (const float v : other.pcm) finite &= std::isfinite(v) != 0;
  expect(finite && other.errors == 0, "samples that are no numbers do no harm");
  engine.close(*third);
  bool closed = false;
  try {
    engine.push(*third, input.data(), 10);
  } catch (const Error& error) {
    closed = error.code() == kClosed;
  }
  expect(closed, "pushing into a closed session is refused");
  engine.push(*second, input.data(), input.size());
}

}  // namespace moshi
