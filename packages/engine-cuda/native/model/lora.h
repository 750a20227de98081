// A LoRA adapter in the published form: for a weight W [out, in] it holds A [rank, in] and B [out, rank], and the model
// runs with W + scale B A. It is added while the checkpoint is read, so it costs nothing afterwards.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "files/safetensors.h"
#include "model/backend.h"

namespace moshi {

class Lora {
 public:
  // Adapters name attention weights one by one (`in_projs.3`) or stacked on dimension 0 (`in_proj`), whichever way the
  // checkpoint does. Throws Error(kBadModel) naming the tensor unless every one of the adapter has its place in `base`;
  // rank > 0 is the rank the config asks for.
  Lora(const std::string& path, const TensorFile& base, int64_t rank, float scale);

  // Adds to rows [begin, begin + rows) of the base's matrix `name` [.., cols], whose values stand in `bytes`. Sums are
  // float32, rounded once to the type the weight has.
  void fuse(const std::string& name, DType type, int64_t begin, int64_t rows, int64_t cols, char* bytes,
            Backend& backend) const;

 private:
  // One product of the adapter and the rows it is added to.
  struct Part {
    std::string a, b;
    int64_t a_row, b_row;  // where it begins in them
    int64_t rank, row, rows;
  };
  void place(const TensorFile& base, const std::string& stem, int64_t rank);
  void add(const TensorFile& base, const std::string& name, const Part& part, int64_t total);
  [[noreturn]] void fail(const std::string& why) const;

  Safetensors file_;
  float scale_;
  std::map<std::string, std::vector<Part>> parts_;  // by the base's tensor
};

}  // namespace moshi
