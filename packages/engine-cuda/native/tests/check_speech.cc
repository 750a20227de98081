// say(): what stands on the text stream, step by step, for models that offer word starts and models that do not.
#include <algorithm>

#include "core/error.h"
#include "runtime/speech.h"
#include "tests/checks.h"

namespace moshi {

namespace {

constexpr int32_t kPad = 3, kEnd = 0;

LmConfig config_of(const SentencePiece& tokenizer) {
  LmConfig config;
  config.text_card = config.text_card_out = tokenizer.size();
  config.text_padding = kPad;
  config.text_end_padding = kEnd;
  return config;
}

// Runs a speech through steps of what the model would have drawn, and keeps what came out.
struct Stage {
  explicit Stage(const SentencePiece& tokenizer, bool say_only = false)
      : tokenizer(tokenizer), config(config_of(tokenizer)), speech(tokenizer, config, say_only) {}

  int32_t step(int32_t drawn) {
    const std::vector<float> logits(static_cast<size_t>(config.text_card_out), 0.0f);
    tokens.push_back(speech.guide(
        drawn, [&] { return logits; }, position));
    for (auto& event : speech.events(position, true)) events.push_back(std::move(event));
    for (auto& event : speech.events(position, false)) events.push_back(std::move(event));
    ++position;
    return tokens.back();
  }
  void steps(int count, int32_t drawn) {
    while (count-- > 0) step(drawn);
  }
  void say(int64_t id, const std::string& text, Floor floor = Floor::Interrupt) {
    speech.say(id, text, words_to_say(tokenizer, config, text), floor);
  }
  // What a listener reads.
  std::string text() const {
    std::string out;
    for (const int32_t token : tokens)
      if (token != kPad && token != kEnd) out += tokenizer.wire_text(token);
    return out;
  }
  int count(SayEvent::Kind kind) const {
    return static_cast<int>(std::count_if(events.begin(), events.end(), [&](const auto& e) { return e.kind == kind; }));
  }
  const SayEvent& last() const { return events.back(); }

  const SentencePiece& tokenizer;
  LmConfig config;
  Speech speech;
  int64_t position = 0;
  std::vector<int32_t> tokens;
  std::vector<SayEvent> events;
};

// A piece that begins a word, other than those said here.
int32_t some_word(const SentencePiece& tokenizer) {
  for (int id = tokenizer.size() - 1; id > 0; --id)
    if (tokenizer.piece(id).text.compare(0, 3, "\xE2\x96\x81") == 0 && tokenizer.piece(id).text.size() > 4) return id;
  return 4;
}

// A piece that goes on with a word.
int32_t some_inner(const SentencePiece& tokenizer) {
  for (int id = tokenizer.size() - 1; id > 3; --id)
    if (tokenizer.piece(id).text.compare(0, 3, "\xE2\x96\x81") != 0) return id;
  return 4;
}

void refusals(const SentencePiece& tokenizer) {
  const LmConfig config = config_of(tokenizer);
  const auto refused = [&](const std::string& text) {
    try {
      words_to_say(tokenizer, config, text);
    } catch (const Error& error) {
      return error.code() == kBadOption;
    }
    return false;
  };
  expect(refused("") && refused("  \n\t "), "nothing to say is refused");
  expect(refused(std::string(10001, 'a')), "10 001 characters are refused");
  expect(!refused(std::string(10000, 'a')), "10 000 characters are not");
}

void pace(const SentencePiece& tokenizer) {
  const std::string text = "Your order 4711 has shipped, it's on its way.";
  const int32_t word = some_word(tokenizer);
  {
    Stage silent(tokenizer);
    silent.say(1, text);
    silent.steps(400, kPad);
    expect(silent.text() == " " + text, "a model that offers nothing says the text by the limit: " + silent.text());
    expect(silent.count(SayEvent::Kind::Start) == 1 && silent.count(SayEvent::Kind::Word) == 9, "one event a word");
    expect(silent.last().kind == SayEvent::Kind::End && silent.last().completed && silent.last().text == text,
           "the end tells the text");
    expect(silent.tokens[3] == kEnd && silent.tokens[2] == kPad, "the first word comes after three steps");
  }
  {
    Stage chatty(tokenizer);
    chatty.say(1, text);
    while (chatty.events.empty() || chatty.last().kind != SayEvent::Kind::End) chatty.step(word);
    expect(chatty.text() == " " + text, "a model that talks all the time says the text and nothing else");
    expect(chatty.position >= 20, "and not faster than anyone talks");
    const int32_t inner = some_inner(tokenizer);
    expect(chatty.step(inner) == kPad, "afterwards it may not go on with the last word");
    expect(chatty.step(word) == word && chatty.step(inner) == inner, "but has its own words back");
  }
  {
    Stage offering(tokenizer);
    offering.say(1, "one two");
    offering.step(kPad);
    expect(offering.step(kEnd) == kEnd, "the end of padding stands");
    const auto words = words_to_say(tokenizer, offering.config, "one two");
    expect(offering.step(kPad) == words[0].tokens[0], "and the word follows it, whatever is drawn");
    for (size_t i = 1; i < words[0].tokens.size(); ++i)
      expect(offering.step(word) == words[0].tokens[i], "a word's tokens follow each other");
    offering.steps(4, kPad);
    expect(offering.step(word) == words[1].tokens[0], "a word start is taken for the next word");
  }
}

void floors(const SentencePiece& tokenizer) {
  const int32_t word = some_word(tokenizer);
  Stage waiting(tokenizer);
  waiting.say(1, "hello", Floor::Wait);
  for (int i = 0; i < 20; ++i) {
    waiting.speech.hear(true);
    expect(waiting.step(word) == word, "while the model talks, a waiting text waits");
  }
  for (int i = 0; i < 20; ++i) {
    waiting.speech.hear(true);
    waiting.step(kPad);
  }
  expect(waiting.events.empty(), "while the user talks, it waits too");
  for (int i = 0; i < 12; ++i) {
    waiting.speech.hear(false);
    waiting.step(kPad);
  }
  expect(waiting.count(SayEvent::Kind::Start) == 1, "half a second of silence gives it the floor");

  Stage never(tokenizer);
  never.say(1, "hello", Floor::Wait);
  for (int i = 0; i < 140; ++i) {
    never.speech.hear(true);
    never.step(word);
  }
  expect(never.count(SayEvent::Kind::Start) == 1, "after ten seconds it speaks in any case");
}

void cancels(const SentencePiece& tokenizer) {
  Stage stage(tokenizer);
  stage.say(1, "internationalization works");
  stage.say(2, "never said");
  while (stage.count(SayEvent::Kind::Word) == 0) stage.step(kPad);
  stage.speech.cancel(0);
  stage.steps(60, kPad);
  expect(stage.text() == " internationalization", "a cancelled text ends with the word on its way: " + stage.text());
  expect(stage.count(SayEvent::Kind::End) == 2, "and every text has its end");
  const auto end = std::find_if(stage.events.begin(), stage.events.end(),
                                [](const auto& e) { return e.kind == SayEvent::Kind::End && e.id == 1; });
  expect(end != stage.events.end() && !end->completed && end->text == "internationalization",
         "which tells what was spoken");

  Stage mute(tokenizer);
  mute.speech.interrupt();
  mute.steps(11, some_word(tokenizer));
  expect(mute.text().empty(), "after an interruption the model is silent");
  mute.steps(3, some_word(tokenizer));
  expect(!mute.text().empty(), "for a second");

  Stage turn(tokenizer);
  turn.steps(5, kPad);
  turn.speech.end_turn();
  turn.steps(2, kPad);
  expect(turn.tokens[5] == kEnd && turn.text().size() > 1 && turn.text()[0] == ' ',
         "at the end of the user's turn the model begins a word");

  Stage only(tokenizer, true);
  only.steps(10, some_word(tokenizer));
  expect(only.text().empty(), "say-only: nothing of its own");
  only.say(1, "yes");
  only.steps(40, some_word(tokenizer));
  expect(only.text() == " yes", "say-only: what it is given");

  Stage again(tokenizer);
  again.say(1, "one two three");
  while (again.count(SayEvent::Kind::Word) < 1) again.step(kPad);
  again.speech.reset();
  for (const auto& event : again.speech.events(0, false)) again.events.push_back(event);
  expect(again.last().kind == SayEvent::Kind::End && !again.last().completed, "a reset ends what was being said");
}

}  // namespace

void check_speech(const std::string& tokenizer_path) {
  const SentencePiece tokenizer(tokenizer_path);
  refusals(tokenizer);
  pace(tokenizer);
  floors(tokenizer);
  cancels(tokenizer);
}

}  // namespace moshi
