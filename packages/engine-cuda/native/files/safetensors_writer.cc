#include "files/safetensors_writer.h"

#include <algorithm>
#include <cstdio>

#include "core/error.h"

namespace moshi {

namespace {

// The library sorts by its own list of types, the last first.
int rank(DType type) {
  static constexpr DType kOrder[] = {DType::Bool, DType::U8,  DType::I8,  DType::I16, DType::F16,
                                     DType::BF16, DType::I32, DType::F32, DType::F64, DType::I64};
  return static_cast<int>(std::find(std::begin(kOrder), std::end(kOrder), type) - std::begin(kOrder));
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out += '"';
}

std::string numbers(const std::vector<int64_t>& values) {
  std::string out = "[";
  for (const int64_t value : values) {
    if (out.size() > 1) out += ',';
    out += std::to_string(value);
  }
  return out += ']';
}

}  // namespace

uint64_t SafetensorsWriter::Tensor::bytes() const {
  uint64_t count = static_cast<uint64_t>(dtype_bytes(type));
  for (const int64_t size : shape) count *= static_cast<uint64_t>(size);
  return count;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<Tensor> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path), tensors_(std::move(tensors)) {
  std::sort(tensors_.begin(), tensors_.end(), [](const Tensor& a, const Tensor& b) {
    return rank(a.type) != rank(b.type) ? rank(a.type) > rank(b.type) : a.name < b.name;
  });
  std::string header = "{";
  const auto key = [&header](const std::string& name) {
    if (header.back() != '{') header += ',';
    header += quoted(name) + ':';
  };
  if (!metadata.empty()) {
    key("__metadata__");
    header += '{';
    for (const auto& [name, value] : metadata) {
      key(name);
      header += quoted(value);
    }
    header += '}';
  }
  for (const Tensor& tensor : tensors_) {
    const auto begin = static_cast<int64_t>(missing_);
    missing_ += tensor.bytes();
    key(tensor.name);
    header += std::string("{\"dtype\":\"") + dtype_name(tensor.type) + "\",\"shape\":" + numbers(tensor.shape) +
              ",\"data_offsets\":" + numbers({begin, static_cast<int64_t>(missing_)}) + '}';
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  unsigned char length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<unsigned char>(header.size() >> (8 * i));
  file_.write(length, sizeof length);
  file_.write(header.data(), header.size());
}

void SafetensorsWriter::write(const void* bytes, uint64_t count) {
  if (count > missing_) throw Error(kBadFile, file_.path() + ": more data than its tensors have room for");
  missing_ -= count;
  file_.write(bytes, count);
}

void SafetensorsWriter::finish() {
  if (missing_ > 0) throw Error(kBadFile, file_.path() + ": " + std::to_string(missing_) + " bytes were never written");
  file_.finish();
}

}  // namespace moshi
