// safetensors: u64 header length, a JSON header {name: {dtype, shape, data_offsets}}, then the bytes. Every field is
// checked.
#pragma once

#include "files/file.h"
#include "files/tensor_file.h"

namespace moshi {

class Safetensors : public TensorFile {
 public:
  explicit Safetensors(const std::string& path);

  const std::string& path() const override { return file_.path(); }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  using TensorFile::read;
  void read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const override {
    file_.read(info.offset + from, out, bytes);
  }

 private:
  File file_;
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace moshi
