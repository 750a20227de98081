// A Moshi checkpoint seen as PersonaPlex, whose depth transformer generates the user's codebooks too: they begin as
// copies of the model's own, as the fork's loader makes them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "files/tensor_file.h"

namespace moshi {

// A tensor as the model wants it, and what of the file it is made of.
struct StoredTensor {
  std::string source;  // a tensor of the file; empty: zeros
  int copies = 1;      // of it, one after another on dimension 0
  DType type = DType::F32;
  std::vector<int64_t> shape;
};

using StoredTensors = std::map<std::string, StoredTensor>;

// The file's tensors as they are.
StoredTensors stored_tensors(const TensorFile& file);

// The same with twice as many generated codebooks: attention weights of the depth transformer stand twice on dimension
// 0, the other weights of codebook N are those of N - half. The embedding that would feed the first new codebook exists
// nowhere and is zeros: nothing of those codebooks is ever heard. Throws Error(kBadModel) unless the file generates
// half of its codebooks.
StoredTensors expanded_tensors(const TensorFile& file);

// Codebooks the file's weights can generate.
int generated_codebooks(const TensorFile& file);

// Writes the expanded form of lm_path to out_path, tensor by tensor, in the types they have; replaces an existing file
// only when the new one is whole. Throws Error.
void write_expanded(const std::string& lm_path, const std::string& out_path);

}  // namespace moshi
