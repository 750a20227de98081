#include "files/sentencepiece.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/error.h"
#include "files/file.h"

namespace moshi {

namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";        // ▁
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr uint64_t kMaxModelBytes = 64 << 20;

// Walks the fields of one protobuf message; every length is checked against what is left.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& what) : bytes_(bytes), what_(what) {}

  bool next() {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    number = key >> 3;
    switch (key & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        bytes = take(varint());
        break;
      case 5: {
        const std::string_view raw = take(4);
        uint32_t bits = 0;
        for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(raw[static_cast<size_t>(i)]);
        std::memcpy(&real, &bits, 4);
        break;
      }
      default:
        fail();
    }
    return true;
  }

  uint64_t number = 0, value = 0;
  float real = 0;
  std::string_view bytes;

 private:
  [[noreturn]] void fail() const { throw Error(kBadFile, what_ + ": is not a SentencePiece model, or it is broken"); }
  uint64_t varint() {
    uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      out |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (!(byte & 0x80)) return out;
    }
    fail();
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size()) fail();
    const std::string_view out = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return out;
  }

  std::string_view bytes_;
  const std::string& what_;
};

// Bytes of the valid UTF-8 character at the start of text, 0 when it is malformed.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto trail = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const uint32_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xE0) return first >= 0xC2 && trail(1) ? 2 : 0;
  if (first < 0xF0) {
    const uint32_t code = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return trail(1) && trail(2) && code >= 0x800 && (code < 0xD800 || code >= 0xE000) ? 3 : 0;
  }
  if (first < 0xF5) {
    const uint32_t code = (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    return trail(1) && trail(2) && trail(3) && code >= 0x10000 && code <= 0x10FFFF ? 4 : 0;
  }
  return 0;
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

std::string with_spaces(std::string_view piece) {
  std::string out;
  for (size_t i = 0; i < piece.size();) {
    if (starts_with(piece.substr(i), kSpace)) {
      out += ' ';
      i += kSpace.size();
    } else {
      out += piece[i++];
    }
  }
  return out;
}

// "<0xNN>" → NN.
std::optional<int> byte_value(std::string_view piece) {
  if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    if (c >= '0' && c <= '9')
      value = value * 16 + (c - '0');
    else if (c >= 'A' && c <= 'F')
      value = value * 16 + (c - 'A' + 10);
    else
      return std::nullopt;
  }
  return value;
}

std::string byte_piece(unsigned char byte) {
  static const char* kHex = "0123456789ABCDEF";
  return std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + '>';
}

}  // namespace

SentencePiece::SentencePiece(const std::string& path) : SentencePiece(read_whole(path, kMaxModelBytes), path) {}

SentencePiece::SentencePiece(std::string bytes, const std::string& what) {
  read_model(bytes, what);
  index(what);
}

void SentencePiece::read_model(std::string_view bytes, const std::string& what) {
  for (Fields model(bytes, what); model.next();) {
    if (model.number == 1) {
      Piece piece;
      for (Fields fields(model.bytes, what); fields.next();) {
        if (fields.number == 1) piece.text = fields.bytes;
        if (fields.number == 2) piece.score = fields.real;
        if (fields.number == 3) {
          if (fields.value < 1 || fields.value > 6) throw Error(kBadFile, what + ": a piece of unknown kind");
          piece.kind = static_cast<Kind>(fields.value);
        }
      }
      pieces_.push_back(std::move(piece));
    }
    if (model.number == 2) read_trainer(model.bytes, what);
    if (model.number == 3) read_normalizer(model.bytes, what);
  }
  if (pieces_.empty()) throw Error(kBadFile, what + ": is not a SentencePiece model: it has no pieces");
}

void SentencePiece::read_trainer(std::string_view bytes, const std::string& what) {
  for (Fields spec(bytes, what); spec.next();) {
    const int id = static_cast<int>(static_cast<int64_t>(spec.value));
    if (spec.number == 3) model_type_ = id;
    if (spec.number == 24) whitespace_as_suffix_ = spec.value != 0;
    if (spec.number == 35) byte_fallback_ = spec.value != 0;
    if (spec.number == 40) unk_id_ = id;
    if (spec.number == 41) bos_id_ = id;
    if (spec.number == 42) eos_id_ = id;
    if (spec.number == 43) pad_id_ = id;
    if (spec.number == 44) unk_surface_ = spec.bytes;
  }
}

void SentencePiece::read_normalizer(std::string_view bytes, const std::string& what) {
  for (Fields spec(bytes, what); spec.next();) {
    if (spec.number == 2 && !spec.bytes.empty()) {
      uint32_t trie_bytes = 0;
      if (spec.bytes.size() >= 4) std::memcpy(&trie_bytes, spec.bytes.data(), 4);
      if (spec.bytes.size() < 4 || trie_bytes > spec.bytes.size() - 4 || trie_bytes % 4 != 0)
        throw Error(kBadFile, what + ": the character map is broken");
      charsmap_.resize(trie_bytes / 4);
      std::memcpy(charsmap_.data(), spec.bytes.data() + 4, trie_bytes);
      normalized_ = spec.bytes.substr(4 + trie_bytes);
    }
    if (spec.number == 3) add_dummy_prefix_ = spec.value != 0;
    if (spec.number == 4) remove_extra_whitespaces_ = spec.value != 0;
    if (spec.number == 5) escape_whitespaces_ = spec.value != 0;
  }
}

void SentencePiece::index(const std::string& what) {
  if (unk_id_ < 0 || unk_id_ >= size()) throw Error(kBadFile, what + ": the unknown piece is missing");
  std::fill(std::begin(byte_ids_), std::end(byte_ids_), -1);
  bool first = true;
  for (int id = 0; id < size(); ++id) {
    const Piece& piece = pieces_[static_cast<size_t>(id)];
    if (piece.kind == Kind::Byte) {
      if (const auto value = byte_value(piece.text)) byte_ids_[*value] = id;
    }
    if (piece.kind == Kind::Normal) {
      min_score_ = first ? piece.score : std::min(min_score_, piece.score);
      first = false;
    }
    if (piece.kind == Kind::UserDefined && !piece.text.empty()) user_symbols_.push_back(piece.text);
    if (piece.kind == Kind::Normal || piece.kind == Kind::UserDefined || piece.kind == Kind::Unused) {
      by_text_.emplace(piece.text, id);
      longest_ = std::max(longest_, piece.text.size());
    }
  }
  if (byte_fallback_ && std::count(std::begin(byte_ids_), std::end(byte_ids_), -1) > 0)
    throw Error(kBadFile, what + ": byte fallback is on but a byte piece is missing");
}

size_t SentencePiece::user_symbol(std::string_view text) const {
  size_t best = 0;
  for (const std::string_view symbol : user_symbols_)
    if (symbol.size() > best && starts_with(text, symbol)) best = symbol.size();
  return best;
}

std::pair<std::string_view, size_t> SentencePiece::normalize_prefix(std::string_view text) const {
  if (const size_t symbol = user_symbol(text)) return {text.substr(0, symbol), symbol};
  size_t longest = 0, value = 0;
  if (!charsmap_.empty()) {
    const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
    size_t node = offset(charsmap_[0]);
    for (size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      node ^= byte;
      if (node >= charsmap_.size()) break;
      const uint32_t unit = charsmap_[node];
      if ((unit & ((1u << 31) | 0xFFu)) != byte) break;
      node ^= offset(unit);
      if (node >= charsmap_.size()) break;
      if (unit >> 8 & 1) {
        longest = i + 1;
        value = charsmap_[node] & 0x7FFFFFFFu;
      }
    }
  }
  if (longest > 0 && value < normalized_.size()) return {std::string_view(normalized_.c_str() + value), longest};
  const size_t length = utf8_length(text);
  if (length == 0) return {kReplacement, 1};
  return {text.substr(0, length), length};
}

std::string SentencePiece::normalize(std::string_view text) const {
  const std::string_view space = escape_whitespaces_ ? kSpace : std::string_view(" ");
  if (remove_extra_whitespaces_) {
    while (!text.empty()) {
      const auto [chunk, used] = normalize_prefix(text);
      if (chunk != " ") break;
      text.remove_prefix(used);
    }
  }
  if (text.empty()) return {};
  std::string out;
  if (add_dummy_prefix_ && !whitespace_as_suffix_) out += space;
  bool after_space = remove_extra_whitespaces_;
  while (!text.empty()) {
    auto [chunk, used] = normalize_prefix(text);
    while (after_space && starts_with(chunk, " ")) chunk.remove_prefix(1);
    if (!chunk.empty()) {
      for (const char c : chunk) {
        if (c == ' ')
          out += space;
        else
          out += c;
      }
      after_space = chunk.back() == ' ';
    }
    text.remove_prefix(used);
    if (!remove_extra_whitespaces_) after_space = false;
  }
  if (remove_extra_whitespaces_) {
    while (out.size() >= space.size() && out.compare(out.size() - space.size(), space.size(), space) == 0)
      out.resize(out.size() - space.size());
  }
  if (add_dummy_prefix_ && whitespace_as_suffix_) out += space;
  return out;
}

std::vector<std::pair<std::string_view, int>> SentencePiece::best_path(std::string_view text) const {
  struct Node {
    int id = -1;
    float score = 0;
    size_t from = std::string_view::npos;
  };
  std::vector<Node> best(text.size() + 1);
  const float unk_score = min_score_ - 10.0f;
  const auto offer = [&](size_t end, size_t from, int id, float score) {
    Node& node = best[end];
    if (node.from == std::string_view::npos || score > node.score) node = {id, score, from};
  };
  for (size_t at = 0; at < text.size();) {
    const float here = best[at].score;
    const size_t character = std::max<size_t>(1, utf8_length(text.substr(at)));
    bool single = false;
    for (size_t length = 1; length <= longest_ && at + length <= text.size(); ++length) {
      const auto found = by_text_.find(text.substr(at, length));
      if (found == by_text_.end()) continue;
      const Piece& piece = pieces_[static_cast<size_t>(found->second)];
      if (piece.kind == Kind::Unused) continue;
      // As library 0.2.2 scores them, in float: it decides exact ties. A user's symbol wins by its length alone.
      const float score = piece.kind == Kind::UserDefined ? static_cast<float>(length) * 0.1f - 0.1f : piece.score;
      offer(at + length, at, found->second, score + here);
      single |= length == character;
    }
    if (!single) offer(at + character, at, unk_id_, unk_score + here);
    at += character;
  }
  std::vector<std::pair<std::string_view, int>> path;
  for (size_t end = text.size(); end > 0; end = best[end].from)
    path.emplace_back(text.substr(best[end].from, end - best[end].from), best[end].id);
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<SentencePiece::Token> SentencePiece::encode(std::string_view text) const {
  if (model_type_ != 1)
    throw Error(kBadModel, "this SentencePiece model is not a unigram model; only unigram models can encode text");
  const std::string normalized = normalize(text);
  std::vector<Token> tokens;
  bool after_unknown = false;
  for (const auto& [surface, id] : best_path(normalized)) {
    const bool unknown = id == unk_id_;
    if (unknown && byte_fallback_) {
      for (const char c : surface)
        tokens.push_back({byte_ids_[static_cast<unsigned char>(c)], byte_piece(static_cast<unsigned char>(c))});
    } else if (unknown && after_unknown) {
      tokens.back().piece += surface;
    } else {
      tokens.push_back({id, std::string(surface)});
    }
    after_unknown = unknown && !byte_fallback_;
  }
  return tokens;
}

std::string SentencePiece::decode(const std::vector<int>& ids) const {
  std::string out, bytes;
  const auto flush_bytes = [&] {
    for (size_t i = 0; i < bytes.size();) {
      const size_t length = utf8_length(std::string_view(bytes).substr(i));
      out += length ? std::string_view(bytes).substr(i, length) : kReplacement;
      i += std::max<size_t>(1, length);
    }
    bytes.clear();
  };
  bool at_start = true, saw_space = false;
  for (const int id : ids) {
    if (id < 0 || id >= size()) throw Error(kBadOption, "token " + std::to_string(id) + " is not in the vocabulary");
    const Piece& piece = this->piece(id);
    if (piece.kind == Kind::Byte) {
      bytes += static_cast<char>(byte_value(piece.text).value_or(0));
      continue;
    }
    flush_bytes();
    if (saw_space || !out.empty()) at_start = false;
    saw_space = false;
    if (piece.kind == Kind::Control) continue;
    if (piece.kind == Kind::Unknown) {
      out += unk_surface_;
      continue;
    }
    std::string_view text = piece.text;
    if (at_start && (add_dummy_prefix_ || remove_extra_whitespaces_) && starts_with(text, kSpace)) {
      text.remove_prefix(kSpace.size());
      saw_space = !remove_extra_whitespaces_;
    }
    out += with_spaces(text);
  }
  flush_bytes();
  return out;
}

std::string SentencePiece::wire_text(int id) const {
  return id >= 0 && id < size() ? with_spaces(piece(id).text) : std::string();
}

}  // namespace moshi
