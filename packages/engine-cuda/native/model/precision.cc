#include "model/precision.h"

#include "core/error.h"
#include "model/convert.h"

namespace moshi {

namespace {

constexpr const char* kNames[] = {"stored", "f16", "bf16", "q8", "mixed", "q4"};

}  // namespace

Precision parse_precision(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Precision>(i);
  throw Error(kBadOption, "weights '" + printable(name) + "' is none of stored, f16, bf16, q8, mixed and q4");
}

const char* precision_name(Precision precision) {
  return kNames[static_cast<size_t>(precision)];
}

DType packed_type(Precision precision, const std::string& name, DType stored, int64_t cols) {
  if (!is_float(stored)) return stored;
  const bool temporal = name.compare(0, 19, "transformer.layers.") == 0;
  switch (precision) {
    case Precision::Stored:
      return stored;
    case Precision::F16:
      return DType::F16;
    case Precision::BF16:
      return DType::BF16;
    case Precision::Q8:
      return DType::Q8_0;
    case Precision::Mixed:
    case Precision::Q4:
      break;
  }
  if (!temporal || (precision == Precision::Mixed && name.find(".gating.") == std::string::npos)) return DType::Q8_0;
  return cols % 256 == 0 ? DType::Q4_K : DType::Q4_0;
}

}  // namespace moshi
