#include "runtime/speech.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace moshi {

namespace {

constexpr size_t kMaxText = 10000;              // characters
constexpr const char* kBlank = "\xE2\x96\x81";  // ▁ begins a word

// All in steps of 80 ms.
constexpr int kQuiet = 6;           // after which the floor is free
constexpr int kLongestWait = 125;   // for the floor
constexpr int kFirstPause = 3;      // before the first word
constexpr int kLongestPause = 8;    // between words when the model offers no start
constexpr int kSentencePause = 12;  // after the end of a sentence
constexpr size_t kLongWord = 32;  // tokens; what has more (text without blanks) is not spoken to its end when cancelled
constexpr int kMuted = 12;        // after interrupt()
constexpr size_t kFastest = 2;    // letters a step: 25 a second is faster than anyone talks

size_t letters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// Runs of blanks, line ends among them, are one blank: nobody hears how many there were.
std::string single_blanks(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
    if (!blank) out += c;
    if (blank && !out.empty() && out.back() != ' ') out += ' ';
  }
  return out;
}

std::string trimmed(const std::string& text) {
  const char* blanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(blanks);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool ends_sentence(const std::string& word) {
  return !word.empty() && std::string(".!?:;").find(word.back()) != std::string::npos;
}

}  // namespace

std::vector<SpokenWord> words_to_say(const SentencePiece& tokenizer, const LmConfig& config, const std::string& text) {
  if (letters(text) > kMaxText)
    throw Error(kBadOption,
                "the text to say has more than " + std::to_string(kMaxText) + " characters; say it in parts");
  std::vector<SpokenWord> words;
  for (const auto& [id, piece] : tokenizer.encode(single_blanks(text))) {
    if (id == tokenizer.unk_id())
      throw Error(kBadOption, "the model has no way to write \"" + piece + "\"; leave it out or spell it");
    if (id >= config.text_card || id == config.text_padding || id == config.text_end_padding)
      throw Error(kBadOption, "\"" + piece + "\" is a sign of the model's own and cannot be said; leave it out");
    if (words.empty() || piece.compare(0, 3, kBlank) == 0) words.emplace_back();
    words.back().tokens.push_back(id);
  }
  for (SpokenWord& word : words) word.text = trimmed(tokenizer.decode(word.tokens));
  // A blank alone is nothing to say; it belongs to the word that follows.
  for (size_t i = 0; i + 1 < words.size();) {
    if (!words[i].text.empty()) {
      ++i;
      continue;
    }
    words[i + 1].tokens.insert(words[i + 1].tokens.begin(), words[i].tokens.begin(), words[i].tokens.end());
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(i));
  }
  while (!words.empty() && words.back().text.empty()) words.pop_back();
  if (words.empty()) throw Error(kBadOption, "there is nothing to say: the text is empty");
  return words;
}

void Speech::say(int64_t id, std::string text, std::vector<SpokenWord> words, Floor floor) {
  queue_.push_back({id, std::move(text), std::move(words), floor});
}

void Speech::cancel(int64_t id) {
  for (auto one = queue_.begin(); one != queue_.end();) {
    if (id != 0 && one->id != id) {
      ++one;
    } else if (one->token > 0 && one->words[one->word].tokens.size() <= kLongWord) {
      one->cancelled = true;
      ++one;
    } else {
      // What has not begun ends now, what has begun where it stands on the text stream.
      end(*one, one->word > 0 || one->token > 0 ? position_ : std::numeric_limits<int64_t>::min());
      one = queue_.erase(one);
      waited_ = 0;
      announced_ = false;
    }
  }
}

void Speech::interrupt() {
  cancel(0);
  muted_ = kMuted;
  must_begin_ = false;
}

void Speech::end_turn() {
  muted_ = 0;
  must_begin_ = !say_only_;
}

void Speech::reset() {
  for (const Utterance& one : queue_) end(one, 0);
  queue_.clear();
  for (SayEvent& event : events_) event.position = 0;
  position_ = 0;
  silence_ = least_ = most_ = waited_ = model_quiet_ = user_quiet_ = muted_ = 0;
  announced_ = must_begin_ = ended_ = false;
}

void Speech::hear(bool sound) {
  user_quiet_ = sound ? 0 : user_quiet_ + 1;
}

bool Speech::begins_word(int32_t token) const {
  return token >= 0 && token < tokenizer_.size() && tokenizer_.piece(token).text.compare(0, 3, kBlank) == 0;
}

bool Speech::has_floor() {
  const Utterance& one = queue_.front();
  if (one.started || one.floor == Floor::Interrupt) return true;
  return (model_quiet_ >= kQuiet && user_quiet_ >= kQuiet) || waited_++ >= kLongestWait;
}

int32_t Speech::pad() {
  ++silence_;
  ++model_quiet_;
  return config_.text_padding;
}

int32_t Speech::guide(int32_t drawn, const TextLogits& logits, int64_t position) {
  position_ = position;
  if (queue_.empty() || !has_floor()) return own(drawn, logits);
  muted_ = 0;
  must_begin_ = false;
  Utterance& one = queue_.front();
  if (!one.started) {
    one.started = true;
    // Behind another utterance the pause after its last word goes on; else the model gets a moment to begin.
    if (silence_ >= most_) {
      silence_ = least_ = 0;
      most_ = kFirstPause;
    }
  }
  return one.token > 0 ? next_token(one, position) : between_words(one, drawn, position);
}

// The model's own token, unless it has to be silent or to begin.
int32_t Speech::own(int32_t drawn, const TextLogits& text_logits) {
  const bool quiet = drawn == config_.text_padding || drawn == config_.text_end_padding;
  if (muted_ > 0) --muted_;
  if (say_only_ || muted_ > 0) return pad();
  if (ended_ && !quiet && !begins_word(drawn)) return pad();
  ended_ = false;
  if (must_begin_ && announced_ && quiet) {
    announced_ = must_begin_ = false;
    int32_t best = drawn;
    const std::vector<float> logits = text_logits();
    for (int32_t token = 0; token < static_cast<int32_t>(logits.size()); ++token)
      if (begins_word(token) &&
          (best == drawn || logits[static_cast<size_t>(token)] > logits[static_cast<size_t>(best)]))
        best = token;
    model_quiet_ = 0;
    return best;
  }
  if (must_begin_ && quiet) {
    announced_ = true;
    return config_.text_end_padding;
  }
  must_begin_ = announced_ = false;
  if (quiet) {
    ++silence_;
    ++model_quiet_;
  } else {
    silence_ = model_quiet_ = least_ = most_ = 0;
  }
  return drawn;
}

int32_t Speech::between_words(Utterance& one, int32_t drawn, int64_t position) {
  if (announced_) return next_token(one, position);
  if (silence_ < least_) return pad();
  const bool ends_padding = drawn == config_.text_end_padding;
  if (begins_word(drawn) && !ends_padding) return next_token(one, position);
  if (!ends_padding && silence_ < most_) return pad();
  announced_ = true;
  ++silence_;
  return config_.text_end_padding;
}

int32_t Speech::next_token(Utterance& one, int64_t position) {
  const SpokenWord& word = one.words[one.word];
  announced_ = false;
  model_quiet_ = silence_ = 0;
  if (one.token == 0) {
    if (one.word == 0) events_.push_back({SayEvent::Kind::Start, one.id, one.text, false, position});
    events_.push_back({SayEvent::Kind::Word, one.id, word.text, false, position});
  }
  const int32_t token = word.tokens[one.token++];
  if (one.token < word.tokens.size()) return token;
  one.token = 0;
  ++one.word;
  const size_t steps = (letters(word.text) + kFastest - 1) / kFastest;
  least_ = static_cast<int>(steps) - static_cast<int>(word.tokens.size());
  most_ = std::max(least_, ends_sentence(word.text) ? kSentencePause : kLongestPause);
  if (one.word < one.words.size() && !one.cancelled) return token;
  end(one, position);
  queue_.pop_front();
  waited_ = 0;
  ended_ = true;
  return token;
}

void Speech::end(const Utterance& one, int64_t position) {
  const bool completed = one.word == one.words.size();
  std::string spoken = completed ? one.text : "";
  for (size_t i = 0; !completed && i < one.word; ++i) spoken += (i > 0 ? " " : "") + one.words[i].text;
  if (one.token > 0) {
    const auto& tokens = one.words[one.word].tokens;
    const std::string part =
        trimmed(tokenizer_.decode({tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(one.token)}));
    spoken += (spoken.empty() || part.empty() ? "" : " ") + part;
  }
  events_.push_back({SayEvent::Kind::End, one.id, std::move(spoken), completed, position});
}

std::vector<SayEvent> Speech::events(int64_t position, bool before) {
  std::vector<SayEvent> out;
  while (!events_.empty()) {
    const SayEvent& next = events_.front();
    const bool ends_here = next.kind == SayEvent::Kind::End && next.position == position;
    if (next.position > position || (before && ends_here)) break;
    out.push_back(std::move(events_.front()));
    events_.pop_front();
  }
  return out;
}

}  // namespace moshi
