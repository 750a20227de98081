#include "files/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

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

// Two writers in one process must not share a file either.
std::string partial_name(const std::string& path) {
  static std::atomic<int> count{0};
  return path + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".partial";
}

}  // namespace

uint64_t SafetensorsWriter::Tensor::bytes() const {
  uint64_t count = static_cast<uint64_t>(dtype_bytes(type));
  for (const int64_t size : shape) count *= static_cast<uint64_t>(size);
  return count;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<Tensor> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : path_(path), partial_(partial_name(path)), tensors_(std::move(tensors)) {
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
  partial_.descriptor = ::open(partial_.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (partial_.descriptor < 0) fail("cannot create");
  put(length, sizeof length);
  put(header.data(), header.size());
}

SafetensorsWriter::Partial::~Partial() {
  if (descriptor < 0) return;
  ::close(descriptor);
  ::unlink(path.c_str());
}

void SafetensorsWriter::fail(const std::string& what) const {
  throw Error(kBadFile, path_ + ": " + what + ": " + std::strerror(errno));
}

void SafetensorsWriter::put(const void* bytes, uint64_t count) {
  for (const auto* at = static_cast<const char*>(bytes); count > 0;) {
    const ssize_t done =
        ::write(partial_.descriptor, at, static_cast<size_t>(std::min<uint64_t>(count, uint64_t{1} << 30)));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("cannot write");
    at += done;
    count -= static_cast<uint64_t>(done);
  }
}

void SafetensorsWriter::write(const void* bytes, uint64_t count) {
  if (count > missing_) throw Error(kBadFile, path_ + ": more data than its tensors have room for");
  missing_ -= count;
  put(bytes, count);
}

void SafetensorsWriter::finish() {
  if (missing_ > 0) throw Error(kBadFile, path_ + ": " + std::to_string(missing_) + " bytes were never written");
  if (::fsync(partial_.descriptor) != 0 || ::rename(partial_.path.c_str(), path_.c_str()) != 0) fail("cannot write");
  ::close(partial_.descriptor);
  partial_.descriptor = -1;
}

}  // namespace moshi
