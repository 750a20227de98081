#include "files/mlx.h"

#include <string_view>
#include <vector>

#include "core/error.h"

namespace moshi {

namespace {

constexpr std::string_view kWeight = ".weight", kSquare = ".self_attn.out_proj.weight";

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool is_packed(const std::string& name, const TensorInfo& info) {
  return info.type == DType::U32 && info.shape.size() == 2 && ends_with(name, kWeight);
}

// The file does not say how many bits a code has, and words and groups leave two answers. A matrix that is known to be
// square leaves one.
int code_bits(const TensorFile& file) {
  for (const auto& [name, info] : file.tensors()) {
    if (!is_packed(name, info) || !ends_with(name, kSquare) || info.shape[0] == 0) continue;
    const int64_t bits = 32 * info.shape[1] / info.shape[0];
    if ((bits == 4 || bits == 8) && 32 * info.shape[1] == bits * info.shape[0]) return static_cast<int>(bits);
    throw Error(kBadModel, file.path() + ": '" + printable(name) + "' is " + shape_text(info.shape) +
                               " words of MLX's; codes of 4 and 8 bits can be read");
  }
  throw Error(kBadModel, file.path() + ": is quantized in a way that cannot be read: whole words, but no attention");
}

}  // namespace

bool MlxTensors::in(const TensorFile& file) {
  for (const auto& [name, info] : file.tensors())
    if (is_packed(name, info)) return true;
  return false;
}

MlxTensors::MlxTensors(std::unique_ptr<const TensorFile> file) : file_(std::move(file)), tensors_(file_->tensors()) {
  const int bits = code_bits(*file_);
  for (auto& [name, info] : tensors_) {
    if (!is_packed(name, info)) continue;
    const std::string stem = name.substr(0, name.size() - kWeight.size());
    const std::string what = file_->path() + ": '" + printable(stem) + "' ";
    if (!file_->has(stem + ".scales") || !file_->has(stem + ".biases"))
      throw Error(kBadModel, what + "is quantized but has no scales or biases; download the file again");
    const TensorInfo &scales = file_->info(stem + ".scales"), &biases = file_->info(stem + ".biases");
    const int64_t rows = info.shape[0], cols = info.shape[1] * 32 / bits;
    const int64_t groups = scales.shape.size() == 2 ? scales.shape[1] : 0;
    if (groups < 1 || scales.shape[0] != rows || scales.shape != biases.shape || cols % groups != 0 ||
        cols / groups % 32 != 0)
      throw Error(kBadModel, what + "has scales " + shape_text(scales.shape) + " and biases " +
                                 shape_text(biases.shape) + " for codes " + shape_text({rows, cols}));
    info.type = DType::U8;
    info.shape = {rows, cols};
    info.bytes = static_cast<uint64_t>(rows * cols);
    info.bits = bits;
  }
}

void MlxTensors::read(const TensorInfo& info, uint64_t from, void* out, uint64_t bytes) const {
  if (info.bits == 8) return file_->read(info, from, out, bytes);
  // Each byte of the file is two codes, the first in its low half.
  const uint64_t first = from / 2;
  std::vector<unsigned char> pairs((from + bytes + 1) / 2 - first);
  file_->read(info, first, pairs.data(), pairs.size());
  auto* const codes = static_cast<unsigned char*>(out);
  for (uint64_t i = 0; i < bytes; ++i) codes[i] = pairs[(from + i) / 2 - first] >> ((from + i) % 2 * 4) & 15;
}

}  // namespace moshi
