#include "files/values.h"

namespace moshi {

namespace {

template <typename Stored, typename Out, typename Convert>
bool each(const char* raw, size_t count, Out* out, Convert convert) {
  for (size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, raw + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(value);
  }
  return true;
}

template <typename Stored, typename Convert>
bool store(const float* values, size_t count, char* raw, Convert convert) {
  for (size_t i = 0; i < count; ++i) {
    const Stored value = convert(values[i]);
    std::memcpy(raw + i * sizeof(Stored), &value, sizeof(Stored));
  }
  return true;
}

}  // namespace

bool to_floats(DType type, const char* raw, size_t count, float* out) {
  switch (type) {
    case DType::F32:
      return each<float>(raw, count, out, [](float v) { return v; });
    case DType::BF16:
      return each<uint16_t>(raw, count, out, bf16_to_float);
    case DType::F16:
      return each<uint16_t>(raw, count, out, f16_to_float);
    case DType::F64:
      return each<double>(raw, count, out, [](double v) { return static_cast<float>(v); });
    default:
      return false;
  }
}

bool to_integers(DType type, const char* raw, size_t count, int64_t* out) {
  const auto widen = [](auto v) { return static_cast<int64_t>(v); };
  switch (type) {
    case DType::I64:
      return each<int64_t>(raw, count, out, widen);
    case DType::I32:
      return each<int32_t>(raw, count, out, widen);
    case DType::I16:
      return each<int16_t>(raw, count, out, widen);
    case DType::I8:
      return each<int8_t>(raw, count, out, widen);
    case DType::U8:
    case DType::Bool:
      return each<uint8_t>(raw, count, out, widen);
    default:
      return false;
  }
}

bool from_floats(DType type, const float* values, size_t count, char* raw) {
  switch (type) {
    case DType::F32:
      return store<float>(values, count, raw, [](float v) { return v; });
    case DType::BF16:
      return store<uint16_t>(values, count, raw, float_to_bf16);
    case DType::F16:
      return store<uint16_t>(values, count, raw, float_to_f16);
    default:
      return false;
  }
}

}  // namespace moshi
