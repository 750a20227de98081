#include "files/json.h"

#include <cmath>
#include <cstdlib>

#include "core/error.h"

namespace moshi {

namespace {
constexpr int kMaxDepth = 64;
}

class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& what) : text_(text), what_(what) {}

  Json document() {
    Json value = parse(0);
    space();
    if (at_ != text_.size()) fail("unexpected text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(kBadFile, what_ + ": not valid JSON at byte " + std::to_string(at_) + ": " + why);
  }

  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }

  bool take(char c) {
    space();
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }

  void word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) fail("unknown word");
    at_ += expected.size();
  }

  Json parse(int depth) {
    if (depth > kMaxDepth) fail("nested too deeply");
    space();
    if (at_ >= text_.size()) fail("the text ends too early");
    Json value;
    switch (text_[at_]) {
      case '{':
        object(value, depth);
        break;
      case '[':
        array(value, depth);
        break;
      case '"':
        value.kind_ = Json::Kind::String;
        value.string_ = string();
        break;
      case 't':
        word("true");
        value.kind_ = Json::Kind::Bool;
        value.bool_ = true;
        break;
      case 'f':
        word("false");
        value.kind_ = Json::Kind::Bool;
        break;
      case 'n':
        word("null");
        break;
      default:
        value.kind_ = Json::Kind::Number;
        value.number_ = number();
    }
    return value;
  }

  void object(Json& value, int depth) {
    value.kind_ = Json::Kind::Object;
    ++at_;
    if (take('}')) return;
    do {
      space();
      if (at_ >= text_.size() || text_[at_] != '"') fail("a key must be a string");
      std::string key = string();
      if (!take(':')) fail("':' expected");
      value.members_[std::move(key)] = parse(depth + 1);
    } while (take(','));
    if (!take('}')) fail("'}' expected");
  }

  void array(Json& value, int depth) {
    value.kind_ = Json::Kind::Array;
    ++at_;
    if (take(']')) return;
    do value.items_.push_back(parse(depth + 1));
    while (take(','));
    if (!take(']')) fail("']' expected");
  }

  double number() {
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-' ||
                                  text_[at_] == '+' || text_[at_] == '.'))
      ++at_;
    const std::string digits(text_.substr(begin, at_ - begin));
    // strtod also reads hex, "inf" and "nan", which JSON does not have.
    if (digits.empty() || digits.find_first_not_of("0123456789+-.eE") != std::string::npos) fail("a value expected");
    char* end = nullptr;
    const double value = std::strtod(digits.c_str(), &end);
    if (end != digits.c_str() + digits.size() || !std::isfinite(value)) fail("not a number: " + digits);
    return value;
  }

  uint32_t hex4() {
    if (at_ + 4 > text_.size()) fail("a \\u escape needs four digits");
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = text_[at_++];
      value <<= 4;
      if (c >= '0' && c <= '9')
        value |= static_cast<uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        value |= static_cast<uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        value |= static_cast<uint32_t>(c - 'A' + 10);
      else
        fail("a \\u escape needs four hexadecimal digits");
    }
    return value;
  }

  static void utf8(std::string& out, uint32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xC0 | c >> 6);
      out += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      out += static_cast<char>(0xE0 | c >> 12);
      out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (c & 0x3F));
    } else {
      out += static_cast<char>(0xF0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
      out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (c & 0x3F));
    }
  }

  void escape(std::string& out) {
    if (at_ >= text_.size()) fail("the text ends in an escape");
    const char c = text_[at_++];
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (const size_t simple = kFrom.find(c); simple != std::string_view::npos) {
      out += kTo[simple];
      return;
    }
    if (c != 'u') fail("unknown escape");
    uint32_t code = hex4();
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      const size_t back = at_;
      at_ += 2;
      const uint32_t low = hex4();
      if (low >= 0xDC00 && low < 0xE000)
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      else
        at_ = back;
    }
    utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
  }

  std::string string() {
    std::string out;
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("a control character in a string");
      if (text_[at_] == '\\') {
        ++at_;
        escape(out);
      } else {
        out += text_[at_++];
      }
    }
    if (at_ >= text_.size()) fail("a string does not end");
    ++at_;
    return out;
  }

  std::string_view text_;
  const std::string& what_;
  size_t at_ = 0;
};

Json Json::parse(std::string_view text, const std::string& what) {
  return JsonParser(text, what).document();
}

const Json* Json::find(const std::string& key) const {
  const auto it = members_.find(key);
  return it == members_.end() || it->second.is_null() ? nullptr : &it->second;
}

double Json::number(const std::string& what) const {
  if (kind_ != Kind::Number) throw Error(kBadFile, what + " must be a number");
  return number_;
}

int64_t Json::integer(const std::string& what) const {
  const double value = number(what);
  if (value != std::floor(value) || std::fabs(value) > 9007199254740992.0)
    throw Error(kBadFile, what + " must be a whole number");
  return static_cast<int64_t>(value);
}

bool Json::boolean(const std::string& what) const {
  if (kind_ != Kind::Bool) throw Error(kBadFile, what + " must be true or false");
  return bool_;
}

const std::string& Json::string(const std::string& what) const {
  if (kind_ != Kind::String) throw Error(kBadFile, what + " must be a string");
  return string_;
}

}  // namespace moshi
