// Writes a language model's weights in another type, piece by piece.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "files/tensor_file.h"
#include "model/backend.h"

namespace moshi {

// What each matrix becomes.
class QuantizeType {
 public:
  // "q8", "mixed", "q4": what model/precision.h says of each; "q8_0", "q4_0", "q4_k", "f16", "bf16", "f32": all the
  // same, but for tables of embeddings, which are never less than q8_0. Throws Error(kBadOption) for another name.
  explicit QuantizeType(const std::string& name);

  const std::string& name() const { return name_; }
  // Of the matrix `tensor` [.., cols]; rows may not be whole blocks of it.
  DType wanted(const std::string& tensor, int64_t cols) const;

 private:
  std::string name_;
};

struct QuantizeOptions {
  std::string out;  // .gguf, or .safetensors: the published int8 form for "q8"
  QuantizeType type;
  // What becomes of rows that are not whole blocks: they stay as they are, or get the widest type that fits.
  bool keep_odd = false;
  std::map<std::string, std::string> texts{};  // metadata
  // Of the values of the model, called now and then from the calling thread.
  std::function<void(uint64_t done, uint64_t total)> progress{};
};

struct Quantized {
  uint64_t bytes = 0;              // of the tensors written
  std::vector<std::string> notes;  // what became something else than was asked for, in words
};

// The file appears when it is whole and may replace another, but not the one that is read. Throws Error.
Quantized quantize_weights(const TensorFile& file, const QuantizeOptions& options, Backend& backend);

}  // namespace moshi
