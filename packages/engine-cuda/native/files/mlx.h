// MLX's quantized tensors: X.weight packs codes of 4 or 8 bits into U32 [rows, words], low bits first; X.scales and
// X.biases are [rows, columns / group], and a value is scale * code + bias. Seen through this, X.weight is U8
// [rows, columns], a code a byte.
#pragma once

#include <memory>

#include "files/tensor_file.h"

namespace moshi {

class MlxTensors : public TensorFile {
 public:
  // Whether the file has any.
  static bool in(const TensorFile& file);
  // Throws Error(kBadModel) naming the tensor whose parts do not belong together.
  explicit MlxTensors(std::unique_ptr<const TensorFile> file);

  const std::string& path() const override { return file_->path(); }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  using TensorFile::read;
  void read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const override;

 private:
  std::unique_ptr<const TensorFile> file_;
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace moshi
