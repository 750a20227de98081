// Writes a safetensors file tensor by tensor, so that none of them need stay in memory. The file appears under its name
// only when it is whole.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "files/new_file.h"
#include "files/tensor_file.h"

namespace moshi {

class SafetensorsWriter {
 public:
  struct Tensor {
    std::string name;
    DType type;
    std::vector<int64_t> shape;
    uint64_t bytes() const;
  };

  // Writes the header. An existing file is replaced by finish(). Throws Error(kBadFile) when the disk does not take it.
  SafetensorsWriter(const std::string& path, std::vector<Tensor> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  // The order the file has: the widest types first, then by name, as the format's own library writes it.
  const std::vector<Tensor>& tensors() const { return tensors_; }
  // The next bytes, tensor after tensor in that order.
  void write(const void* bytes, uint64_t count);
  // Puts the file in its place. Every tensor must have been written.
  void finish();

 private:
  NewFile file_;
  std::vector<Tensor> tensors_;
  uint64_t missing_ = 0;  // bytes that are still to come
};

}  // namespace moshi
