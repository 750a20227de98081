// A file of tensors that does not exist: weights are made up as they are read, in whatever type they are wanted, so
// that a model of any size can be run at the cost of its packed form alone.
#pragma once

#include <vector>

#include "files/tensor_file.h"

namespace moshi {

struct MadeTensor {
  std::string name;
  DType type = DType::F32;  // F32, F16, BF16, Q8_0, Q4_0 or Q4_K; rows must be whole blocks
  std::vector<int64_t> shape;
  float mean = 0, spread = 0;  // values are even over mean ± spread; blocks, whose mean is 0, about that
};

class Synthetic : public TensorFile {
 public:
  // `name` stands for the path in messages. Throws Error(kBadModel) for types and rows that cannot be made.
  Synthetic(std::string name, const std::vector<MadeTensor>& tensors);

  const std::string& path() const override { return name_; }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  void read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const override;

 private:
  struct Pattern {
    DType type;
    float mean, spread;
    std::vector<char> bytes;  // whole blocks, a megabyte of them
  };
  size_t pattern(DType type, float mean, float spread);

  std::string name_;
  std::map<std::string, TensorInfo> tensors_;  // offset: the tensor's number
  std::vector<Pattern> patterns_;
  std::vector<size_t> made_of_;  // by number
};

}  // namespace moshi
