#include "model/weights.h"

#include "core/error.h"

namespace moshi {

int64_t Weights::size(const std::string& name, size_t d) const {
  const TensorInfo& info = file_.info(name);
  if (d >= info.shape.size())
    throw Error(kBadModel, path() + ": tensor '" + name + "' has too few dimensions: " + shape_text(info.shape));
  return info.shape[d];
}

Matrix Weights::matrix(const std::string& name, int64_t rows, int64_t cols) const {
  const TensorInfo& info = file_.info(name);
  std::vector<int64_t> shape = info.shape;
  while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
  if (shape != std::vector<int64_t>{rows, cols})
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(info.shape) + ", the config needs " +
                               shape_text({rows, cols}));
  if (info.type != DType::F32 && info.type != DType::BF16 && info.type != DType::F16)
    throw Error(kBadModel, path() + ": tensor '" + name +
                               "' is quantized or of a type that cannot be run yet; use a bf16, f16 or f32 checkpoint");
  std::vector<char> bytes(info.bytes);
  file_.read(info, bytes.data());
  return backend_.pack(info.type, rows, cols, std::move(bytes));
}

std::vector<float> Weights::vector(const std::string& name, int64_t count) const {
  const TensorInfo& info = file_.info(name);
  if (info.count() != count)
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(info.shape) + ", the config needs " +
                               std::to_string(count) + " values");
  return file_.floats(name);
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
