// The part of Python's pickle format that can name tensors, read as data: a global is a name here, a call is a pair of
// callee and arguments, and nothing is ever imported or run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moshi {

class Pickle {
 public:
  enum class Kind : uint8_t {
    Other,       // none, a real number: of no use here
    Integer,     // `integer`; booleans too
    Text,        // `text`: a string, or the bytes of an integer too long for int64
    List,        // `items`
    Tuple,       // `items`
    Dict,        // `items`: key, value, key, value, …
    Global,      // `text`: module.name
    Call,        // `items`: the global, the argument tuple
    Persistent,  // `items`: what names an object outside of the pickle
  };
  struct Node {
    Kind kind = Kind::Other;
    int64_t integer = 0;
    std::string_view text;
    std::vector<uint32_t> items;  // indices of nodes; containers may hold each other, even in circles
  };

  // Reads one pickle at `at` and moves it behind. `what` names the document in errors, `allowed` lists the globals it
  // may name as module.name; `bytes` must outlive this. Throws Error(kBadFile).
  Pickle(std::string_view bytes, size_t& at, const std::string& what, std::span<const std::string_view> allowed);

  const Node& root() const { return node(root_); }
  uint32_t root_index() const { return root_; }
  const Node& node(uint32_t index) const { return nodes_[index]; }
  size_t size() const { return nodes_.size(); }

 private:
  friend class Unpickler;
  std::vector<Node> nodes_;
  uint32_t root_ = 0;
};

}  // namespace moshi
