// safetensors: u64 header length, a JSON header {name: {dtype, shape, data_offsets}}, then the bytes. Every field is
// checked.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "files/file.h"

namespace moshi {

struct TensorInfo {
  DType type;
  std::vector<int64_t> shape;
  uint64_t offset;  // of the first byte in the file
  uint64_t bytes;
  int64_t count() const {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    return n;
  }
};

// As the format spells it: "BF16".
const char* dtype_name(DType type);
std::string shape_text(const std::vector<int64_t>& shape);

class Safetensors {
 public:
  explicit Safetensors(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  bool has(const std::string& name) const { return tensors_.count(name) > 0; }
  // Throws Error(kBadModel) naming the tensor when it is absent.
  const TensorInfo& info(const std::string& name) const;
  // The stored bytes, as they are.
  void read(const TensorInfo& info, void* out) const { file_.read(info.offset, out, info.bytes); }
  // Any floating type as float32, any integer type as int64.
  std::vector<float> floats(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name) const;

 private:
  File file_;
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace moshi
