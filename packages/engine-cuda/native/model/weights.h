// Loads tensors of a checkpoint under their published names, each checked against the shape the config asks for.
#pragma once

#include <string>
#include <vector>

#include "files/safetensors.h"
#include "model/backend.h"

namespace moshi {

class Weights {
 public:
  Weights(const Safetensors& file, Backend& backend) : file_(file), backend_(backend) {}

  bool has(const std::string& name) const { return file_.has(name); }
  const std::string& path() const { return file_.path(); }
  Backend& backend() const { return backend_; }
  // Size of dimension d of the tensor.
  int64_t size(const std::string& name, size_t d) const;

  // A matrix in the type it has on disk; shape must be [rows, cols] (or [rows, cols, 1], a kernel of one).
  Matrix matrix(const std::string& name, int64_t rows, int64_t cols) const;
  // Any tensor as floats; throws unless it holds exactly `count` values.
  std::vector<float> vector(const std::string& name, int64_t count) const;
  // Floats packed as an f32 matrix.
  Matrix pack(const std::vector<float>& values, int64_t rows, int64_t cols) const;
  // `prefix.weight` and `prefix.bias` (layer norm) or `prefix.alpha` (RMS).
  Norm norm(const std::string& prefix, const std::string& kind, int64_t dim) const;

 private:
  const Safetensors& file_;
  Backend& backend_;
};

}  // namespace moshi
