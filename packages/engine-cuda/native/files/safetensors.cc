#include "files/safetensors.h"

#include "core/error.h"
#include "files/json.h"

namespace moshi {

namespace {

// Real headers have a few hundred kB; a parsed one takes many times its size, which a hostile file must not turn into
// GB.
constexpr uint64_t kMaxHeader = 16 << 20;

const std::map<std::string, DType>& dtypes() {
  static const std::map<std::string, DType> kTypes = {{"F32", DType::F32}, {"F16", DType::F16},  {"BF16", DType::BF16},
                                                      {"F64", DType::F64}, {"I64", DType::I64},  {"I32", DType::I32},
                                                      {"I16", DType::I16}, {"I8", DType::I8},    {"U8", DType::U8},
                                                      {"U32", DType::U32}, {"BOOL", DType::Bool}};
  return kTypes;
}

DType parse_dtype(const std::string& name, const std::string& what) {
  const auto it = dtypes().find(name);
  if (it == dtypes().end()) throw Error(kBadFile, what + ": unknown dtype '" + name + "'");
  return it->second;
}

TensorInfo parse_tensor(const Json& entry, const std::string& what, uint64_t data_begin, uint64_t data_size) {
  const Json *dtype = entry.find("dtype"), *shape = entry.find("shape"), *offsets = entry.find("data_offsets");
  if (!dtype || !shape || !offsets || !shape->is_array() || !offsets->is_array() || offsets->items().size() != 2)
    throw Error(kBadFile, what + ": needs dtype, shape and data_offsets");
  TensorInfo info{parse_dtype(dtype->string(what + " dtype"), what), {}, 0, 0};
  uint64_t count = 1;
  for (const Json& item : shape->items()) {
    const int64_t size = item.integer(what + " shape");
    if (size < 0) throw Error(kBadFile, what + ": negative size in shape");
    info.shape.push_back(size);
    if (__builtin_mul_overflow(count, static_cast<uint64_t>(size), &count) || count > (uint64_t{1} << 48))
      throw Error(kBadFile, what + ": shape is too large");
  }
  const int64_t begin = offsets->items()[0].integer(what + " data_offsets");
  const int64_t end = offsets->items()[1].integer(what + " data_offsets");
  if (begin < 0 || end < begin || static_cast<uint64_t>(end) > data_size)
    throw Error(kBadFile, what + ": data lies outside the file; it is truncated or broken, download it again");
  info.offset = data_begin + static_cast<uint64_t>(begin);
  info.bytes = static_cast<uint64_t>(end - begin);
  if (info.bytes != count * static_cast<uint64_t>(dtype_bytes(info.type)))
    throw Error(kBadFile, what + ": shape and data size disagree");
  return info;
}

}  // namespace

Safetensors::Safetensors(const std::string& path) : file_(path) {
  if (file_.size() < 8) throw Error(kBadFile, path + ": too short to be a safetensors file");
  unsigned char raw[8];
  file_.read(0, raw, 8);
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | raw[i];
  if (length > kMaxHeader || length > file_.size() - 8)
    throw Error(kBadFile, path + ": is not a safetensors file, or it is truncated; download it again");
  std::string text(length, '\0');
  file_.read(8, text.data(), length);
  const Json header = Json::parse(text, path);
  if (!header.is_object()) throw Error(kBadFile, path + ": the header is no object");
  for (const auto& [name, entry] : header.members()) {
    if (name == "__metadata__") continue;
    tensors_.emplace(name,
                     parse_tensor(entry, path + ": tensor '" + name + "'", 8 + length, file_.size() - 8 - length));
  }
}

}  // namespace moshi
