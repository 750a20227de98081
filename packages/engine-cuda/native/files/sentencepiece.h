// SentencePiece unigram tokenizer (Kudo & Richardson 2018): reads a published .model, encodes and decodes as its
// library 0.2 does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace moshi {

class SentencePiece {
 public:
  enum class Kind : uint8_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Kind kind = Kind::Normal;
  };
  struct Token {
    int id;
    std::string piece;
  };

  explicit SentencePiece(const std::string& path);
  // `bytes` is the content of a .model file; `what` names it in errors.
  SentencePiece(std::string bytes, const std::string& what);

  int size() const { return static_cast<int>(pieces_.size()); }
  const Piece& piece(int id) const { return pieces_.at(static_cast<size_t>(id)); }
  int unk_id() const { return unk_id_; }
  int bos_id() const { return bos_id_; }
  int eos_id() const { return eos_id_; }
  int pad_id() const { return pad_id_; }

  // No bos, no eos. Throws Error(kBadModel) for models other than unigram, whose ids can still be turned into text.
  std::vector<Token> encode(std::string_view text) const;
  std::string decode(const std::vector<int>& ids) const;
  // What the servers send for one token: the piece with ▁ as a space; byte pieces stay literal "<0xNN>".
  std::string wire_text(int id) const;

 private:
  void read_model(std::string_view bytes, const std::string& what);
  void read_trainer(std::string_view bytes, const std::string& what);
  void read_normalizer(std::string_view bytes, const std::string& what);
  void index(const std::string& what);
  // The longest user-defined symbol at the start of text, in bytes; 0 when there is none.
  size_t user_symbol(std::string_view text) const;
  // One normalized chunk and how many input bytes it stands for.
  std::pair<std::string_view, size_t> normalize_prefix(std::string_view text) const;
  std::string normalize(std::string_view text) const;
  std::vector<std::pair<std::string_view, int>> best_path(std::string_view normalized) const;

  std::vector<Piece> pieces_;
  std::unordered_map<std::string_view, int> by_text_;
  std::vector<std::string_view> user_symbols_;
  int byte_ids_[256];
  size_t longest_ = 0;
  float min_score_ = 0;
  int unk_id_ = 0, bos_id_ = 1, eos_id_ = 2, pad_id_ = -1;
  int model_type_ = 1;
  bool byte_fallback_ = false, add_dummy_prefix_ = true, remove_extra_whitespaces_ = true, escape_whitespaces_ = true;
  bool whitespace_as_suffix_ = false;
  std::string unk_surface_ = " \xE2\x81\x87 ";
  std::vector<uint32_t> charsmap_;  // double-array trie
  std::string normalized_;          // NUL-separated replacements the trie points into
};

}  // namespace moshi
