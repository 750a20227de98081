#include "files/tensor_file.h"

#include "core/error.h"
#include "core/quant.h"
#include "files/values.h"

namespace moshi {

const char* dtype_name(DType type) {
  constexpr const char* kNames[] = {"F32", "F16", "BF16", "F64",  "I64",  "I32",  "I16",
                                    "I8",  "U8",  "U32",  "BOOL", "Q8_0", "Q4_0", "Q4_K"};
  return kNames[static_cast<size_t>(type)];
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

const TensorInfo& TensorFile::info(const std::string& name) const {
  const auto it = tensors().find(name);
  if (it == tensors().end())
    throw Error(kBadModel,
                path() + ": has no tensor '" + name + "'; these weights and this config do not belong together");
  return it->second;
}

std::vector<float> TensorFile::floats(const std::string& name) const {
  const TensorInfo& tensor = info(name);
  std::vector<float> out(static_cast<size_t>(tensor.count()));
  std::vector<char> raw(tensor.bytes);
  read(tensor, raw.data());
  if (block_elements(tensor.type) > 1)
    dequantize(tensor.type, raw.data(), tensor.count(), out.data());
  else if (!to_floats(tensor.type, raw.data(), out.size(), out.data()))
    throw Error(kBadModel, path() + ": tensor '" + name + "' should hold floating-point numbers");
  return out;
}

std::vector<int64_t> TensorFile::integers(const std::string& name) const {
  const TensorInfo& tensor = info(name);
  std::vector<int64_t> out(static_cast<size_t>(tensor.count()));
  std::vector<char> raw(tensor.bytes);
  read(tensor, raw.data());
  if (!to_integers(tensor.type, raw.data(), out.size(), out.data()))
    throw Error(kBadModel, path() + ": tensor '" + name + "' should hold whole numbers");
  return out;
}

}  // namespace moshi
