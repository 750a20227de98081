// A small, strict JSON reader for untrusted headers and configs: bounded depth, no recursion on input size.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace moshi {

class Json {
 public:
  enum class Kind { Null, Bool, Number, String, Array, Object };

  // Throws Error(kBadFile) naming the byte at fault; `what` names the document in that message.
  static Json parse(std::string_view text, const std::string& what);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::Null; }
  bool is_object() const { return kind_ == Kind::Object; }
  bool is_array() const { return kind_ == Kind::Array; }
  bool is_string() const { return kind_ == Kind::String; }

  // nullptr when this is no object, the key is absent, or its value is null.
  const Json* find(const std::string& key) const;
  const std::map<std::string, Json>& members() const { return members_; }
  const std::vector<Json>& items() const { return items_; }

  // Typed values; `what` names the field in the error.
  double number(const std::string& what) const;
  int64_t integer(const std::string& what) const;
  bool boolean(const std::string& what) const;
  const std::string& string(const std::string& what) const;

 private:
  friend class JsonParser;
  Kind kind_ = Kind::Null;
  bool bool_ = false;
  double number_ = 0;
  std::string string_;
  std::vector<Json> items_;
  std::map<std::string, Json> members_;
};

}  // namespace moshi
