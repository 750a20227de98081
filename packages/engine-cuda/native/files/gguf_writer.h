// Writes a GGUF 3 file tensor by tensor, so that none of them need stay in memory. The file appears under its name only
// when it is whole.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "files/new_file.h"
#include "files/tensor_file.h"

namespace moshi {

class GgufWriter {
 public:
  struct Tensor {
    std::string name;
    DType type;
    std::vector<int64_t> shape;  // outermost first; rows are whole blocks
    uint64_t bytes() const;
  };

  // Writes the header. Throws Error(kBadFile) when the disk does not take it, or a type has no place in the format.
  GgufWriter(const std::string& path, std::vector<Tensor> tensors,
             const std::map<std::string, std::string>& texts = {});
  const std::vector<Tensor>& tensors() const { return tensors_; }
  // The next bytes, tensor after tensor in that order.
  void write(const void* bytes, uint64_t count);
  // Puts the file in its place. Every tensor must have been written.
  void finish();

 private:
  void pad();

  NewFile file_;
  std::vector<Tensor> tensors_;
  size_t current_ = 0;    // the tensor being written
  uint64_t missing_ = 0;  // bytes it still lacks
};

}  // namespace moshi
