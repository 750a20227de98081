#include "model/weights.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "files/values.h"

namespace moshi {

Weights::Weights(const Safetensors& file, Backend& backend, const WeightsOptions& options)
    : file_(file), backend_(backend), tensors_(options.expand ? expanded_tensors(file) : stored_tensors(file)) {
  if (!options.lora.empty()) lora_ = std::make_unique<Lora>(options.lora, file, options.lora_rank, options.lora_scale);
}

const StoredTensor& Weights::stored(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end())
    throw Error(kBadModel,
                path() + ": has no tensor '" + name + "'; these weights and this config do not belong together");
  return it->second;
}

std::vector<char> Weights::load(const StoredTensor& tensor, int64_t count) const {
  std::vector<char> out(static_cast<size_t>(count) * static_cast<size_t>(dtype_bytes(tensor.type)));
  if (tensor.source.empty()) return out;
  TensorInfo part = file_.info(tensor.source);
  part.bytes = std::min<uint64_t>(part.bytes, out.size());
  file_.read(part, out.data());
  if (lora_ && part.shape.size() == 2 && part.bytes > 0)
    lora_->fuse(tensor.source, part.type, std::min(part.shape[0], count / part.shape[1]), part.shape[1], out.data(),
                backend_);
  for (size_t done = part.bytes; done < out.size(); done += part.bytes)
    std::memcpy(&out[done], out.data(), std::min<size_t>(part.bytes, out.size() - done));
  return out;
}

int64_t Weights::size(const std::string& name, size_t d) const {
  const StoredTensor& tensor = stored(name);
  if (d >= tensor.shape.size())
    throw Error(kBadModel, path() + ": tensor '" + name + "' has too few dimensions: " + shape_text(tensor.shape));
  return tensor.shape[d];
}

Matrix Weights::matrix(const std::string& name, int64_t rows, int64_t cols, int64_t kept) const {
  const StoredTensor& tensor = stored(name);
  std::vector<int64_t> shape = tensor.shape;
  while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
  if (shape != std::vector<int64_t>{rows, cols})
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(tensor.shape) + ", the config needs " +
                               shape_text({rows, cols}));
  if (tensor.type != DType::F32 && tensor.type != DType::BF16 && tensor.type != DType::F16)
    throw Error(kBadModel, path() + ": tensor '" + name +
                               "' is quantized or of a type that cannot be run yet; use a bf16, f16 or f32 checkpoint");
  if (kept >= 0) rows = std::min(rows, kept);
  return backend_.pack(tensor.type, rows, cols, load(tensor, rows * cols));
}

std::vector<float> Weights::vector(const std::string& name, int64_t count) const {
  const StoredTensor& tensor = stored(name);
  int64_t have = 1;
  for (const int64_t size : tensor.shape) have *= size;
  if (have != count)
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(tensor.shape) + ", the config needs " +
                               std::to_string(count) + " values");
  const std::vector<char> raw = load(tensor, count);
  std::vector<float> out(static_cast<size_t>(count));
  if (!to_floats(tensor.type, raw.data(), out.size(), out.data()))
    throw Error(kBadModel, path() + ": tensor '" + name + "' should hold floating-point numbers");
  return out;
}

Matrix Weights::pack(const std::vector<float>& values, int64_t rows, int64_t cols) const {
  std::vector<char> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return backend_.pack(DType::F32, rows, cols, std::move(bytes));
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
