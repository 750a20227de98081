#include "files/gguf_writer.h"

#include <algorithm>

#include "core/error.h"
#include "files/gguf_types.h"

namespace moshi {

namespace {

uint64_t aligned(uint64_t offset) {
  return (offset + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
}

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

void put_text(std::string& out, const std::string& text) {
  put(out, text.size(), 8);
  out += text;
}

}  // namespace

uint64_t GgufWriter::Tensor::bytes() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return static_cast<uint64_t>(stored_bytes(type, count));
}

GgufWriter::GgufWriter(const std::string& path, std::vector<Tensor> tensors,
                       const std::map<std::string, std::string>& texts)
    : file_(path), tensors_(std::move(tensors)) {
  std::string header;
  put(header, kGgufMagic, 4);
  put(header, kGgufVersion, 4);
  put(header, tensors_.size(), 8);
  put(header, texts.size() + 1, 8);
  for (const auto& [key, value] : texts) {
    put_text(header, key);
    put(header, static_cast<uint32_t>(GgufValue::Text), 4);
    put_text(header, value);
  }
  put_text(header, "general.alignment");
  put(header, static_cast<uint32_t>(GgufValue::U32), 4);
  put(header, kGgufAlignment, 4);
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    const auto* const number = std::find_if(kGgufTypes.begin(), kGgufTypes.end(),
                                            [&](const auto& entry) { return entry.second == tensor.type; });
    if (number == kGgufTypes.end())
      throw Error(kBadFile, path + ": tensor '" + tensor.name + "' is " + dtype_name(tensor.type) +
                                ", which the format does not know");
    put_text(header, tensor.name);
    put(header, tensor.shape.size(), 4);
    for (size_t d = tensor.shape.size(); d-- > 0;) put(header, static_cast<uint64_t>(tensor.shape[d]), 8);
    put(header, number->first, 4);
    put(header, offset, 8);
    offset = aligned(offset + tensor.bytes());
  }
  header.resize(aligned(header.size()));
  file_.write(header.data(), header.size());
  missing_ = tensors_.empty() ? 0 : tensors_.front().bytes();
}

// Steps over what is whole.
void GgufWriter::pad() {
  static constexpr char kZeros[kGgufAlignment] = {};
  while (missing_ == 0 && current_ < tensors_.size()) {
    const uint64_t bytes = tensors_[current_].bytes();
    file_.write(kZeros, aligned(bytes) - bytes);
    if (++current_ < tensors_.size()) missing_ = tensors_[current_].bytes();
  }
}

void GgufWriter::write(const void* bytes, uint64_t count) {
  for (const auto* at = static_cast<const char*>(bytes); count > 0;) {
    pad();
    if (missing_ == 0) throw Error(kBadFile, file_.path() + ": more data than its tensors have room for");
    const uint64_t part = std::min(count, missing_);
    file_.write(at, part);
    at += part;
    count -= part;
    missing_ -= part;
  }
}

void GgufWriter::finish() {
  pad();
  if (missing_ > 0) throw Error(kBadFile, file_.path() + ": " + tensors_[current_].name + " was never written whole");
  file_.finish();
}

}  // namespace moshi
