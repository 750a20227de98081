// GGUF 2 and 3, as ggml and candle write it: "GGUF", version, counts, key-value pairs, tensor directory, and behind
// padding the data. Every field is checked; metadata is stepped over but for short texts.
#pragma once

#include "files/file.h"
#include "files/tensor_file.h"

namespace moshi {

class Gguf : public TensorFile {
 public:
  // Throws Error(kBadFile) for a broken file, and for a tensor of a type that cannot be read, naming both.
  explicit Gguf(const std::string& path);
  // Whether the file begins like one.
  static bool is(const File& file);

  const std::string& path() const override { return file_.path(); }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  using TensorFile::read;
  void read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const override {
    file_.read(info.offset + from, out, bytes);
  }
  // Metadata that is a short text.
  const std::map<std::string, std::string>& texts() const { return texts_; }

 private:
  File file_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> texts_;
};

}  // namespace moshi
