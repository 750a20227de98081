// Loads tensors of a checkpoint under their published names, each checked against the shape the config asks for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/function_ref.h"
#include "files/tensor_file.h"
#include "model/backend.h"
#include "model/expansion.h"
#include "model/lora.h"
#include "model/precision.h"

namespace moshi {

// What is done to a checkpoint while it is read.
struct WeightsOptions {
  bool expand = false;    // a Moshi checkpoint becomes PersonaPlex
  std::string lora{};     // the adapter to add; empty = none. It belongs to the file as it is, before it is expanded
  int64_t lora_rank = 0;  // the rank it must have; 0 = any
  float lora_scale = 2;
  Precision precision = Precision::Stored;
};

class Weights {
 public:
  // The file must outlive this.
  Weights(const TensorFile& file, Backend& backend, const WeightsOptions& options = {});

  bool has(const std::string& name) const { return tensors_.count(name) > 0; }
  const std::string& path() const { return file_.path(); }
  Backend& backend() const { return backend_; }
  Precision precision() const { return precision_; }
  // Size of dimension d of the tensor.
  int64_t size(const std::string& name, size_t d) const;

  // A matrix for linear(), in the type the precision asks for; shape must be [rows, cols] (or [rows, cols, 1], a kernel
  // of one).
  Matrix matrix(const std::string& name, int64_t rows, int64_t cols) const;
  // The first `kept` of `stored` matrices [rows, cols] that stand one above the other under one name.
  std::vector<Matrix> matrices(const std::string& name, int stored, int kept, int64_t rows, int64_t cols) const;
  // A table for embed().
  Matrix table(const std::string& name, int64_t rows, int64_t cols) const;
  // Some rows of a matrix in another type of floats or blocks, not packed.
  StoredMatrix rows(const std::string& name, int64_t begin, int64_t count, DType type) const;
  // Any tensor as floats; throws unless it holds exactly `count` values.
  std::vector<float> vector(const std::string& name, int64_t count) const;
  // The same on the device.
  Buffer values(const std::string& name, int64_t count) const;
  // Floats packed as they are.
  Matrix pack(const std::vector<float>& values, int64_t rows, int64_t cols) const;
  // The weights of a convolution. With precision F16 those are rounded whose time goes into reading them; other
  // precisions leave them alone, as their error would be heard.
  Matrix pack_convolution(const std::vector<float>& values, int64_t rows, int64_t cols) const;
  // `prefix.weight` and `prefix.bias` (layer norm) or `prefix.alpha` (RMS).
  Norm norm(const std::string& prefix, const std::string& kind, int64_t dim) const;

 private:
  const StoredTensor& stored(const std::string& name) const;
  // Throws unless the tensor is [rows, cols].
  const StoredTensor& checked(const std::string& name, int64_t rows, int64_t cols) const;
  // Rows [begin, begin + rows) of a matrix in `type`, after all that is done to them.
  StoredMatrix load(const std::string& name, const StoredTensor& tensor, int64_t begin, int64_t rows, int64_t cols,
                    DType type) const;
  void load_floats(const std::string& name, const StoredTensor& tensor, int64_t begin, StoredMatrix& out) const;
  void load_quantized(const std::string& name, const StoredTensor& tensor, int64_t begin, StoredMatrix& out) const;
  // Calls part(first row in the file, row of the matrix, count): copies stand one above the other.
  void each_part(int64_t source_rows, int64_t begin, int64_t rows,
                 FunctionRef<void(int64_t from, int64_t to, int64_t count)> part) const;
  // The factors of a quantized matrix, [source rows, per row].
  std::vector<float> factors(const std::string& source, const std::string& name, int64_t source_rows,
                             int64_t per_row) const;

  const TensorFile& file_;
  Backend& backend_;
  Precision precision_;
  StoredTensors tensors_;
  std::unique_ptr<const Lora> lora_;
};

}  // namespace moshi
