// Checkpoints name the same weights in three ways. PyTorch's is the one the model asks for; here the others are turned
// into it: Rust's and MLX's, which cut the depth transformer into one per codebook, and ggml's, with a prefix.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "files/tensor_file.h"

namespace moshi {

// Tensors of a file by other names.
class NamedTensors : public TensorFile {
 public:
  // names: of the file → as they are called here; what is not in it is left out.
  NamedTensors(std::unique_ptr<const TensorFile> file, const std::map<std::string, std::string>& names);

  const std::string& path() const override { return file_->path(); }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  using TensorFile::read;
  void read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const override {
    file_->read(info, from, out, bytes);
  }

 private:
  std::unique_ptr<const TensorFile> file_;
  std::map<std::string, TensorInfo> tensors_;
};

// Every tensor of the file with its published name. schedule: which set of depth weights a codebook uses, where they
// are shared; the cut-up forms repeat them. Throws Error(kBadModel) when two would get the same name.
std::map<std::string, std::string> published_names(const TensorFile& file, const std::vector<int>& schedule);

// Opens weights in any form that is published, safetensors or GGUF, by what is in the file.
std::unique_ptr<const TensorFile> open_weights(const std::string& path, const std::vector<int>& schedule = {});

}  // namespace moshi
