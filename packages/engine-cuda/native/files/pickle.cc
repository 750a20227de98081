#include "files/pickle.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "core/error.h"

namespace moshi {

namespace {

using Kind = Pickle::Kind;
using Node = Pickle::Node;

}  // namespace

// The machine the format is defined by: a stack, marks in it, and a memo of things to come back to.
class Unpickler {
 public:
  Unpickler(Pickle& out, std::string_view bytes, size_t at, const std::string& what,
            std::span<const std::string_view> allowed)
      : nodes_(out.nodes_), bytes_(bytes), at_(at), what_(what), allowed_(allowed) {}

  uint32_t run() {
    for (;;) {
      const unsigned char code = byte();
      if (code == '.') return pop();
      if (!literal(code) && !container(code) && !reference(code)) {
        char name[8];
        std::snprintf(name, sizeof name, "0x%02x", code);
        fail(std::string("uses the pickle instruction ") + name + ", which naming tensors never needs");
      }
    }
  }
  size_t at() const { return at_; }

 private:
  [[noreturn]] void fail(const std::string& why) const { throw Error(kBadFile, what_ + " " + why); }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail("ends too early; download it again");
    const std::string_view out = bytes_.substr(at_, count);
    at_ += count;
    return out;
  }
  unsigned char byte() { return static_cast<unsigned char>(take(1)[0]); }
  // Little-endian, without a sign.
  uint64_t number(int width) {
    const std::string_view raw = take(static_cast<uint64_t>(width));
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(raw[static_cast<size_t>(i)]);
    return value;
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("ends too early; download it again");
    const std::string_view out = take(end - at_);
    take(1);
    return out;
  }

  bool push(Node node) {
    nodes_.push_back(std::move(node));
    stack_.push_back(static_cast<uint32_t>(nodes_.size() - 1));
    return true;
  }
  bool push_integer(int64_t value) { return push({Kind::Integer, value, {}, {}}); }
  bool push_text(std::string_view text) { return push({Kind::Text, 0, text, {}}); }
  // No instruction may reach below the last mark.
  uint32_t pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("is no sound pickle: it takes what it never made");
    const uint32_t top = stack_.back();
    stack_.pop_back();
    return top;
  }
  uint32_t top() {
    const uint32_t index = pop();
    stack_.push_back(index);
    return index;
  }
  std::vector<uint32_t> pop_many(size_t count) {
    std::vector<uint32_t> out(count);
    for (size_t i = count; i > 0; --i) out[i - 1] = pop();
    return out;
  }
  std::vector<uint32_t> pop_to_mark() {
    if (marks_.empty()) fail("is no sound pickle: a mark is missing");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<uint32_t> out(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return out;
  }
  void extend(uint32_t target, Kind kind, const std::vector<uint32_t>& items) {
    Node& node = nodes_[target];
    if (node.kind != kind || (kind == Kind::Dict && items.size() % 2 != 0))
      fail("is no sound pickle: it adds items to what cannot hold them");
    node.items.insert(node.items.end(), items.begin(), items.end());
  }

  bool literal(unsigned char code) {
    switch (code) {
      case 0x80:  // PROTO
        if (const unsigned char version = byte(); version > 5)
          fail("is a pickle of protocol " + std::to_string(version) + "; 2 to 5 are known");
        return true;
      case 0x95:  // FRAME
        if (number(8) > bytes_.size() - at_) fail("ends too early; download it again");
        return true;
      case 'N':  // NONE
        return push({});
      case 'G':  // BINFLOAT
        take(8);
        return push({});
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        return push_integer(code == 0x88);
      case 'J':  // BININT
        return push_integer(static_cast<int32_t>(static_cast<uint32_t>(number(4))));
      case 'K':  // BININT1
        return push_integer(static_cast<int64_t>(number(1)));
      case 'M':  // BININT2
        return push_integer(static_cast<int64_t>(number(2)));
      case 0x8a:  // LONG1
        return long_integer(take(number(1)));
      case 'U':   // SHORT_BINSTRING
      case 'C':   // SHORT_BINBYTES
      case 0x8c:  // SHORT_BINUNICODE
        return push_text(take(number(1)));
      case 'T':  // BINSTRING
      case 'B':  // BINBYTES
      case 'X':  // BINUNICODE
        return push_text(take(number(4)));
      case 0x8d:  // BINUNICODE8
        return push_text(take(number(8)));
      default:
        return false;
    }
  }

  // Two's complement of any length.
  bool long_integer(std::string_view raw) {
    if (raw.size() > 8) return push_text(raw);
    uint64_t value = 0;
    for (size_t i = 0; i < raw.size(); ++i) value |= uint64_t{static_cast<unsigned char>(raw[i])} << (8 * i);
    if (!raw.empty() && raw.size() < 8 && (raw.back() & 0x80)) value |= ~uint64_t{0} << (8 * raw.size());
    return push_integer(static_cast<int64_t>(value));
  }

  bool container(unsigned char code) {
    switch (code) {
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return true;
      case '}':  // EMPTY_DICT
        return push({Kind::Dict, 0, {}, {}});
      case ']':  // EMPTY_LIST
        return push({Kind::List, 0, {}, {}});
      case ')':  // EMPTY_TUPLE
        return push({Kind::Tuple, 0, {}, {}});
      case 't':  // TUPLE
        return push({Kind::Tuple, 0, {}, pop_to_mark()});
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return push({Kind::Tuple, 0, {}, pop_many(code - 0x84u)});
      case 'a':  // APPEND
      case 's':  // SETITEM
      {
        const std::vector<uint32_t> items = pop_many(code == 'a' ? 1 : 2);
        extend(top(), code == 'a' ? Kind::List : Kind::Dict, items);
        return true;
      }
      case 'e':  // APPENDS
      case 'u':  // SETITEMS
      {
        const std::vector<uint32_t> items = pop_to_mark();
        extend(top(), code == 'e' ? Kind::List : Kind::Dict, items);
        return true;
      }
      default:
        return false;
    }
  }

  bool reference(unsigned char code) {
    switch (code) {
      case 'q':  // BINPUT
        memo_[static_cast<uint32_t>(number(1))] = top();
        return true;
      case 'r':  // LONG_BINPUT
        memo_[static_cast<uint32_t>(number(4))] = top();
        return true;
      case 0x94:  // MEMOIZE
        memo_[static_cast<uint32_t>(memo_.size())] = top();
        return true;
      case 'h':  // BINGET
        return recall(static_cast<uint32_t>(number(1)));
      case 'j':  // LONG_BINGET
        return recall(static_cast<uint32_t>(number(4)));
      case 'c':  // GLOBAL
      {
        const std::string_view module = line(), name = line();
        return global(module, name);
      }
      case 'i':  // INST, only to say by name what was asked for
      {
        const std::string_view module = line(), name = line();
        refuse(module, name);
      }
      case 0x93:  // STACK_GLOBAL
      {
        const std::vector<uint32_t> names = pop_many(2);
        const Node &module = nodes_[names[0]], &name = nodes_[names[1]];
        if (module.kind != Kind::Text || name.kind != Kind::Text) fail("is no sound pickle: a global has no name");
        return global(module.text, name.text);
      }
      case 'R':  // REDUCE
        return call();
      case 'b':  // BUILD: attributes of a dict, which are of no use here
        pop();
        if (nodes_[top()].kind != Kind::Dict) fail("sets attributes; a voice file may only hold tensors");
        return true;
      case 'Q':  // BINPERSID
        return push({Kind::Persistent, 0, {}, pop_many(1)});
      default:
        return false;
    }
  }

  bool recall(uint32_t key) {
    const auto it = memo_.find(key);
    if (it == memo_.end()) fail("is no sound pickle: it asks for what it never kept");
    stack_.push_back(it->second);
    return true;
  }

  [[noreturn]] void refuse(std::string_view module, std::string_view name) const {
    fail("asks for '" + printable(module) + "." + printable(name) +
         "': a voice file may only hold tensors; it was not executed");
  }

  bool global(std::string_view module, std::string_view name) {
    for (const std::string_view one : allowed_) {
      const bool same = one.size() == module.size() + 1 + name.size() && one.substr(0, module.size()) == module &&
                        one[module.size()] == '.' && one.substr(module.size() + 1) == name;
      if (same) return push({Kind::Global, 0, one, {}});
    }
    refuse(module, name);
  }

  bool call() {
    std::vector<uint32_t> pair = pop_many(2);
    const Node &callee = nodes_[pair[0]], &arguments = nodes_[pair[1]];
    if (callee.kind != Kind::Global || arguments.kind != Kind::Tuple)
      fail("calls something that is no function; a voice file may only hold tensors");
    if (callee.text != "collections.OrderedDict") return push({Kind::Call, 0, {}, std::move(pair)});
    // Torch makes it empty and fills it like any other. A list of entries could be named over and over again.
    if (!arguments.items.empty()) fail("makes an OrderedDict of what was a list before; save it again with torch.save");
    return push({Kind::Dict, 0, {}, {}});
  }

  std::vector<Node>& nodes_;
  std::string_view bytes_;
  size_t at_;
  const std::string& what_;
  std::span<const std::string_view> allowed_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::map<uint32_t, uint32_t> memo_;
};

Pickle::Pickle(std::string_view bytes, size_t& at, const std::string& what, std::span<const std::string_view> allowed) {
  Unpickler machine(*this, bytes, at, what, allowed);
  root_ = machine.run();
  at = machine.at();
}

}  // namespace moshi
