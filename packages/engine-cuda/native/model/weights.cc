#include "model/weights.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "model/convert.h"

namespace moshi {

namespace {

StoredMatrix stored_floats(const std::vector<float>& values, int64_t rows, int64_t cols) {
  StoredMatrix out{.type = DType::F32, .rows = rows, .cols = cols, .bytes = {}, .scales = {}, .offsets = {}};
  out.bytes.resize(values.size() * sizeof(float));
  std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

}  // namespace

Weights::Weights(const TensorFile& file, Backend& backend, const WeightsOptions& options)
    : file_(file),
      backend_(backend),
      precision_(options.precision),
      tensors_(options.expand ? expanded_tensors(file) : stored_tensors(file)) {
  if (!options.lora.empty()) lora_ = std::make_unique<Lora>(options.lora, file, options.lora_rank, options.lora_scale);
}

const StoredTensor& Weights::stored(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end())
    throw Error(kBadModel,
                path() + ": has no tensor '" + name + "'; these weights and this config do not belong together");
  return it->second;
}

const StoredTensor& Weights::checked(const std::string& name, int64_t rows, int64_t cols) const {
  const StoredTensor& tensor = stored(name);
  std::vector<int64_t> shape = tensor.shape;
  while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
  if (shape != std::vector<int64_t>{rows, cols})
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(tensor.shape) + ", the config needs " +
                               shape_text({rows, cols}));
  return tensor;
}

StoredMatrix Weights::load(const std::string& name, const StoredTensor& tensor, int64_t begin, int64_t rows,
                           int64_t cols) const {
  if (tensor.type != DType::F32 && tensor.type != DType::BF16 && tensor.type != DType::F16)
    throw Error(kBadModel, path() + ": tensor '" + name +
                               "' is quantized or of a type that cannot be run yet; use a bf16, f16 or f32 checkpoint");
  StoredMatrix out{.type = tensor.type, .rows = rows, .cols = cols, .bytes = {}, .scales = {}, .offsets = {}};
  const auto width = static_cast<uint64_t>(stored_bytes(tensor.type, cols));
  out.bytes.resize(static_cast<size_t>(rows) * width);
  if (tensor.source.empty()) return out;
  const TensorInfo& info = file_.info(tensor.source);
  // Copies stand one above the other: row r of the tensor is row r of the file's, counted round.
  const int64_t source_rows = static_cast<int64_t>(info.bytes / width);
  for (int64_t row = 0; row < rows;) {
    const int64_t from = (begin + row) % source_rows, count = std::min(rows - row, source_rows - from);
    char* at = &out.bytes[static_cast<size_t>(row) * width];
    file_.read(info, static_cast<uint64_t>(from) * width, at, static_cast<uint64_t>(count) * width);
    if (lora_) lora_->fuse(tensor.source, info.type, from, count, cols, at, backend_);
    row += count;
  }
  return out;
}

int64_t Weights::size(const std::string& name, size_t d) const {
  const StoredTensor& tensor = stored(name);
  if (d >= tensor.shape.size())
    throw Error(kBadModel, path() + ": tensor '" + name + "' has too few dimensions: " + shape_text(tensor.shape));
  return tensor.shape[d];
}

Matrix Weights::matrix(const std::string& name, int64_t rows, int64_t cols) const {
  return std::move(matrices(name, 1, 1, rows, cols).front());
}

std::vector<Matrix> Weights::matrices(const std::string& name, int stored, int kept, int64_t rows, int64_t cols) const {
  const StoredTensor& tensor = checked(name, stored * rows, cols);
  const DType type = packed_type(precision_, name, tensor.type, cols);
  std::vector<Matrix> out;
  for (int i = 0; i < kept; ++i)
    out.push_back(backend_.pack(converted(load(name, tensor, i * rows, rows, cols), type)));
  return out;
}

Matrix Weights::table(const std::string& name, int64_t rows, int64_t cols) const {
  const StoredTensor& tensor = checked(name, rows, cols);
  return backend_.pack_table(
      converted(load(name, tensor, 0, rows, cols), packed_type(precision_, name, tensor.type, cols)));
}

std::vector<float> Weights::vector(const std::string& name, int64_t count) const {
  const StoredTensor& tensor = stored(name);
  int64_t have = 1;
  for (const int64_t size : tensor.shape) have *= size;
  if (have != count)
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(tensor.shape) + ", the config needs " +
                               std::to_string(count) + " values");
  if (tensor.source.empty()) return std::vector<float>(static_cast<size_t>(count));
  if (tensor.shape.size() == 2) return matrix_floats(load(name, tensor, 0, tensor.shape[0], tensor.shape[1]));
  return file_.floats(tensor.source);
}

Matrix Weights::pack(const std::vector<float>& values, int64_t rows, int64_t cols, DType type) const {
  return backend_.pack(converted(stored_floats(values, rows, cols), type));
}

Norm Weights::norm(const std::string& prefix, const std::string& kind, int64_t dim) const {
  Norm norm;
  if (kind == "layer_norm" || kind == "layer_norm_f32") {
    norm.kind = NormKind::Layer;
    norm.eps = kind == "layer_norm" ? 1e-5f : 1e-8f;
    norm.weight = vector(prefix + ".weight", dim);
    norm.bias = vector(prefix + ".bias", dim);
  } else if (kind == "rms_norm" || kind == "rms_norm_f32") {
    norm.kind = NormKind::Rms;
    norm.eps = kind == "rms_norm" ? 1e-5f : 1e-8f;
    norm.weight = vector(prefix + ".alpha", dim);
  } else {
    throw Error(kBadModel, "the config asks for the norm '" + kind + "', which is unknown");
  }
  return norm;
}

}  // namespace moshi
