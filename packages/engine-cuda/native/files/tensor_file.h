// A file of named tensors, whatever its format: safetensors, GGUF, or one made up on the spot.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace moshi {

struct TensorInfo {
  DType type;
  std::vector<int64_t> shape;  // outermost first; blocks run along the last one
  uint64_t offset;             // of the first byte in the file
  uint64_t bytes;
  int bits = 8;  // of a U8 that is a code of MLX's
  int64_t count() const {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    return n;
  }
};

// As safetensors spells it ("BF16"), or ggml ("Q8_0").
const char* dtype_name(DType type);
std::string shape_text(const std::vector<int64_t>& shape);

class TensorFile {
 public:
  virtual ~TensorFile() = default;

  virtual const std::string& path() const = 0;
  // Under their published names.
  virtual const std::map<std::string, TensorInfo>& tensors() const = 0;
  // The stored bytes [from, from + bytes) of the tensor, as they are.
  virtual void read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const = 0;

  void read(const TensorInfo& info, void* out) const { read(info, 0, out, info.bytes); }
  bool has(const std::string& name) const { return tensors().count(name) > 0; }
  // Throws Error(kBadModel) naming the tensor when it is absent.
  const TensorInfo& info(const std::string& name) const;
  // Any floating type or block as float32, any integer type as int64.
  std::vector<float> floats(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name) const;
};

}  // namespace moshi
