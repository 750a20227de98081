#include "files/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "files/gguf_types.h"

namespace moshi {

namespace {

// Real headers have some MB where a vocabulary is in them.
constexpr uint64_t kMaxHeader = 256 << 20, kMaxTensors = 1 << 16, kMaxValues = 1 << 16;
constexpr uint64_t kMaxName = 1024, kMaxText = 1024, kMaxTexts = 256;
constexpr uint32_t kMaxDimensions = 8;
constexpr int kMaxNesting = 4;

// Reads the header from front to back.
class Cursor {
 public:
  explicit Cursor(const File& file) : file_(file), end_(std::min(file.size(), kMaxHeader)) {}

  uint64_t at() const { return begin_ + used_; }

  template <typename T>
  T number() {
    T value;
    take(&value, sizeof value);
    return value;
  }

  std::string text(uint64_t limit, const char* what) {
    const auto length = number<uint64_t>();
    if (length > limit) fail(std::string("has ") + what + " of " + std::to_string(length) + " bytes");
    std::string out(length, '\0');
    take(out.data(), length);
    return out;
  }

  void skip(uint64_t bytes) {
    if (bytes > end_ - at()) fail("ends in the middle of its header");
    const uint64_t target = at() + bytes;
    if (target <= begin_ + held_) {
      used_ = target - begin_;
    } else {
      begin_ = target;
      used_ = held_ = 0;
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(kBadFile, file_.path() + ": " + what + "; the file is broken, download it again");
  }

 private:
  void take(void* out, uint64_t bytes) {
    if (bytes > end_ - at()) fail("ends in the middle of its header");
    for (auto* to = static_cast<char*>(out); bytes > 0;) {
      if (used_ == held_) {
        begin_ += held_;
        used_ = 0;
        held_ = std::min<uint64_t>(sizeof buffer_, end_ - begin_);
        file_.read(begin_, buffer_, held_);
      }
      const uint64_t part = std::min(bytes, held_ - used_);
      std::memcpy(to, buffer_ + used_, part);
      used_ += part;
      to += part;
      bytes -= part;
    }
  }

  const File& file_;
  const uint64_t end_;
  uint64_t begin_ = 0, held_ = 0, used_ = 0;  // of the buffer
  char buffer_[1 << 14];
};

uint64_t value_bytes(GgufValue type, const Cursor& cursor) {
  switch (type) {
    case GgufValue::U8:
    case GgufValue::I8:
    case GgufValue::Bool:
      return 1;
    case GgufValue::U16:
    case GgufValue::I16:
      return 2;
    case GgufValue::U32:
    case GgufValue::I32:
    case GgufValue::F32:
      return 4;
    case GgufValue::U64:
    case GgufValue::I64:
    case GgufValue::F64:
      return 8;
    default:
      cursor.fail("has metadata of the unknown type " + std::to_string(static_cast<uint32_t>(type)));
  }
}

void skip_value(Cursor& cursor, GgufValue type, int nesting) {
  if (type == GgufValue::Text) return cursor.skip(cursor.number<uint64_t>());
  if (type != GgufValue::Array) return cursor.skip(value_bytes(type, cursor));
  if (nesting == kMaxNesting) cursor.fail("has metadata that is nested too deeply");
  const auto element = static_cast<GgufValue>(cursor.number<uint32_t>());
  const auto count = cursor.number<uint64_t>();
  if (count > kMaxHeader) cursor.fail("has metadata that is too long");
  if (element != GgufValue::Text && element != GgufValue::Array)
    return cursor.skip(count * value_bytes(element, cursor));
  for (uint64_t i = 0; i < count; ++i) skip_value(cursor, element, nesting + 1);
}

DType tensor_type(uint32_t number, const std::string& what) {
  for (const auto& [known, type] : kGgufTypes)
    if (known == number) return type;
  static constexpr std::pair<uint32_t, const char*> kOthers[] = {
      {3, "Q4_1"},   {6, "Q5_0"},   {7, "Q5_1"},     {9, "Q8_1"},    {10, "Q2_K"},    {11, "Q3_K"},  {13, "Q5_K"},
      {14, "Q6_K"},  {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"},
      {21, "IQ3_S"}, {22, "IQ2_S"}, {23, "IQ4_XS"},  {29, "IQ1_M"},  {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"}};
  std::string name = std::to_string(number);
  for (const auto& [known, text] : kOthers)
    if (known == number) name = text;
  throw Error(kBadFile, what + " is of type " + name + "; what can be read is F32, F16, BF16, Q8_0, Q4_0 and Q4_K");
}

TensorInfo parse_tensor(Cursor& cursor, const std::string& what) {
  const auto dimensions = cursor.number<uint32_t>();
  if (dimensions > kMaxDimensions) cursor.fail(what + " has " + std::to_string(dimensions) + " dimensions");
  TensorInfo info{DType::F32, std::vector<int64_t>(dimensions), 0, 0};
  uint64_t count = 1;
  // The innermost size comes first.
  for (uint32_t d = dimensions; d-- > 0;) {
    const auto size = cursor.number<uint64_t>();
    if (size > uint64_t{1} << 40 || __builtin_mul_overflow(count, size, &count) || count > uint64_t{1} << 48)
      cursor.fail(what + " is too large");
    info.shape[d] = static_cast<int64_t>(size);
  }
  info.type = tensor_type(cursor.number<uint32_t>(), what);
  const int64_t row = dimensions == 0 ? 1 : info.shape.back();
  if (row % block_elements(info.type) != 0)
    cursor.fail(what + ": rows of " + std::to_string(row) + " are not whole blocks of " + dtype_name(info.type));
  info.offset = cursor.number<uint64_t>();
  info.bytes = static_cast<uint64_t>(stored_bytes(info.type, static_cast<int64_t>(count)));
  return info;
}

}  // namespace

bool Gguf::is(const File& file) {
  if (file.size() < sizeof kGgufMagic) return false;
  uint32_t magic;
  file.read(0, &magic, sizeof magic);
  return magic == kGgufMagic;
}

Gguf::Gguf(const std::string& path) : file_(path) {
  if (!is(file_)) throw Error(kBadFile, path + ": is not a GGUF file, or it is truncated; download it again");
  Cursor cursor(file_);
  cursor.skip(sizeof kGgufMagic);
  const auto version = cursor.number<uint32_t>();
  if (version != 2 && version != kGgufVersion)
    throw Error(kBadFile, path + ": is GGUF of version " + std::to_string(version) +
                              (version > 0xffff ? ", perhaps big-endian" : "") + "; versions 2 and 3 can be read");
  const auto count = cursor.number<uint64_t>(), values = cursor.number<uint64_t>();
  if (count > kMaxTensors || values > kMaxValues)
    cursor.fail("counts " + std::to_string(count) + " tensors and " + std::to_string(values) + " values");
  uint64_t alignment = kGgufAlignment;
  for (uint64_t i = 0; i < values; ++i) {
    const std::string key = cursor.text(kMaxName, "a key");
    const auto type = static_cast<GgufValue>(cursor.number<uint32_t>());
    if (key == "general.alignment" && type == GgufValue::U32) {
      alignment = cursor.number<uint32_t>();
      if (!std::has_single_bit(alignment) || alignment > 1 << 20)
        cursor.fail("has the alignment " + std::to_string(alignment));
    } else if (type == GgufValue::Text) {
      const auto length = cursor.number<uint64_t>();
      if (length > kMaxText || texts_.size() == kMaxTexts) {
        cursor.skip(length);
      } else {
        std::string& text = texts_[key];
        text.clear();
        for (uint64_t c = 0; c < length; ++c) text += cursor.number<char>();
      }
    } else {
      skip_value(cursor, type, 0);
    }
  }
  for (uint64_t i = 0; i < count; ++i) {
    const std::string name = cursor.text(kMaxName, "a tensor's name");
    const std::string what = path + ": tensor '" + printable(name) + "'";
    if (!tensors_.emplace(name, parse_tensor(cursor, what)).second) cursor.fail("has " + what + " twice");
  }
  const uint64_t begin = (cursor.at() + alignment - 1) / alignment * alignment;
  for (auto& [name, info] : tensors_) {
    uint64_t end;
    const bool inside = !__builtin_add_overflow(begin, info.offset, &info.offset) &&
                        !__builtin_add_overflow(info.offset, info.bytes, &end) && end <= file_.size();
    if (!inside || info.offset % alignment != 0)
      throw Error(kBadFile, path + ": tensor '" + printable(name) +
                                "': data lies outside the file; it is truncated or broken, download it again");
  }
}

}  // namespace moshi
