// say(): text the model is made to speak. Its tokens take the place of the model's own on the text stream, a word at a
// time, whenever the model would begin a word; the sound stays the model's own.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "files/sentencepiece.h"
#include "model/generation.h"

namespace moshi {

struct SpokenWord {
  std::vector<int32_t> tokens;
  std::string text;  // without blanks around it
};

// Cuts text into words of tokens. Throws Error(kBadOption) on text that is empty, too long, or has characters this
// tokenizer has no pieces for.
std::vector<SpokenWord> words_to_say(const SentencePiece& tokenizer, const LmConfig& config, const std::string& text);

enum class Floor : uint8_t {
  Interrupt,  // begin at once
  Wait,       // begin when neither side has spoken for half a second, 10 s at the latest
};

struct SayEvent {
  enum class Kind : uint8_t { Start, Word, End } kind;
  int64_t id;
  std::string text;  // Start: all of it; Word: the word; End: what was spoken
  bool completed;    // of End
  int64_t position;  // on the text stream: the word's first token, or the last one
};

class Speech : public TextGuide {
 public:
  // say_only: the model speaks nothing but what it is given.
  Speech(const SentencePiece& tokenizer, const LmConfig& config, bool say_only)
      : tokenizer_(tokenizer), config_(config), say_only_(say_only) {}

  void say(int64_t id, std::string text, std::vector<SpokenWord> words, Floor floor);
  // This one or, with id 0, all; the word on its way is finished.
  void cancel(int64_t id);
  // Cancels all, and the model is silent for a second.
  void interrupt();
  // The user has finished: the model begins a word now.
  void end_turn();
  void reset();
  // Whether the user's side of the coming step has sound.
  void hear(bool sound);

  int32_t guide(int32_t drawn, const TextLogits& logits, int64_t position) override;

  // Events up to this place of the text stream, oldest first. `before` leaves out what ends at the place itself.
  std::vector<SayEvent> events(int64_t position, bool before);

 private:
  struct Utterance {
    int64_t id;
    std::string text;
    std::vector<SpokenWord> words;
    Floor floor;
    size_t word = 0, token = 0;  // what comes next
    bool started = false, cancelled = false;
  };
  bool begins_word(int32_t token) const;
  bool has_floor();
  int32_t own(int32_t drawn, const TextLogits& logits);
  int32_t between_words(Utterance& one, int32_t drawn, int64_t position);
  int32_t next_token(Utterance& one, int64_t position);
  void end(const Utterance& one, int64_t position);
  // A padding token, which also lets time pass.
  int32_t pad();

  const SentencePiece& tokenizer_;
  const LmConfig& config_;
  const bool say_only_;
  std::deque<Utterance> queue_;
  std::deque<SayEvent> events_;
  int64_t position_ = 0;                  // of the last guided step
  int silence_ = 0;                       // steps since a word's last token
  int least_ = 0;                         // steps the last word takes at least
  int most_ = 0;                          // steps after which the next word begins anyway
  bool announced_ = false;                // the end of padding stands: a word comes next
  int waited_ = 0;                        // steps the head of the queue has waited for the floor
  int model_quiet_ = 0, user_quiet_ = 0;  // steps
  int muted_ = 0;                         // steps the model is still kept silent
  bool must_begin_ = false;
  bool ended_ = false;  // a text has just ended: the model may not go on in the middle of its last word
};

}  // namespace moshi
