// Loads tensors of a checkpoint under their published names, each checked against the shape the config asks for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "files/safetensors.h"
#include "model/backend.h"
#include "model/expansion.h"
#include "model/lora.h"

namespace moshi {

// What is done to a checkpoint while it is read.
struct WeightsOptions {
  bool expand = false;    // a Moshi checkpoint becomes PersonaPlex
  std::string lora;       // the adapter to add; empty = none. It belongs to the file as it is, before it is expanded
  int64_t lora_rank = 0;  // the rank it must have; 0 = any
  float lora_scale = 2;
};

class Weights {
 public:
  // The file must outlive this.
  Weights(const Safetensors& file, Backend& backend, const WeightsOptions& options = {});

  bool has(const std::string& name) const { return tensors_.count(name) > 0; }
  const std::string& path() const { return file_.path(); }
  Backend& backend() const { return backend_; }
  // Size of dimension d of the tensor.
  int64_t size(const std::string& name, size_t d) const;

  // A matrix in the type it has on disk; shape must be [rows, cols] (or [rows, cols, 1], a kernel of one). With
  // `kept` >= 0 only the first so many of its rows are read.
  Matrix matrix(const std::string& name, int64_t rows, int64_t cols, int64_t kept = -1) const;
  // Any tensor as floats; throws unless it holds exactly `count` values.
  std::vector<float> vector(const std::string& name, int64_t count) const;
  // Floats packed as an f32 matrix.
  Matrix pack(const std::vector<float>& values, int64_t rows, int64_t cols) const;
  // `prefix.weight` and `prefix.bias` (layer norm) or `prefix.alpha` (RMS).
  Norm norm(const std::string& prefix, const std::string& kind, int64_t dim) const;

 private:
  const StoredTensor& stored(const std::string& name) const;
  // The first `count` values as stored, after all that is done to them.
  std::vector<char> load(const StoredTensor& tensor, int64_t count) const;

  const Safetensors& file_;
  Backend& backend_;
  StoredTensors tensors_;
  std::unique_ptr<const Lora> lora_;
};

}  // namespace moshi
