#include "model/weights.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "files/values.h"
#include "model/convert.h"

namespace moshi {

namespace {

constexpr int64_t kFused = 16 << 20;  // bytes an adapter is added to at once

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

void Weights::each_part(int64_t source_rows, int64_t begin, int64_t rows,
                        FunctionRef<void(int64_t from, int64_t to, int64_t count)> part) const {
  for (int64_t row = 0; row < rows;) {
    const int64_t from = (begin + row) % source_rows, count = std::min(rows - row, source_rows - from);
    part(from, row, count);
    row += count;
  }
}

void Weights::load_floats(const std::string& name, const StoredTensor& tensor, int64_t begin, StoredMatrix& out) const {
  const TensorInfo& info = file_.info(tensor.source);
  const int64_t cols = out.cols, width = cols * dtype_bytes(info.type), packed = row_bytes(out.type, cols);
  const auto read = [&](int64_t row, int64_t count, char* to) {
    file_.read(info, static_cast<uint64_t>(row * width), to, static_cast<uint64_t>(count * width));
  };
  const auto store = [&](const char* raw, int64_t count, char* to) {
    std::vector<float> values(static_cast<size_t>(cols));
    for (int64_t r = 0; r < count; ++r) {
      to_floats(info.type, raw + r * width, values.size(), values.data());
      if (!store_row(out.type, values.data(), cols, to + r * packed))
        throw Error(kBadModel, path() + ": '" + name + "' has values that f16 cannot hold; load it as bf16");
    }
  };
  each_part(static_cast<int64_t>(info.bytes) / width, begin, out.rows, [&](int64_t from, int64_t to, int64_t count) {
    char* const at = out.bytes.data() + to * packed;
    if (!lora_) {
      by_rows(&backend_, count, cols, [&](int64_t first, int64_t some) {
        if (info.type == out.type) return read(from + first, some, at + first * packed);
        std::vector<char> raw(static_cast<size_t>(some * width));
        read(from + first, some, raw.data());
        store(raw.data(), some, at + first * packed);
      });
      return;
    }
    // The product of an adapter runs on all cores by itself.
    const int64_t step = std::max<int64_t>(1, kFused / width);
    std::vector<char> raw;
    for (int64_t first = 0; first < count; first += step) {
      const int64_t some = std::min(step, count - first);
      raw.resize(static_cast<size_t>(some * width));
      read(from + first, some, raw.data());
      lora_->fuse(tensor.source, info.type, from + first, some, cols, raw.data(), backend_);
      if (info.type == out.type) {
        std::copy(raw.begin(), raw.end(), at + first * packed);
        continue;
      }
      by_rows(&backend_, some, cols,
              [&](int64_t row, int64_t few) { store(raw.data() + row * width, few, at + (first + row) * packed); });
    }
  });
}

std::vector<float> Weights::factors(const std::string& source, const std::string& name, int64_t source_rows,
                                    int64_t per_row) const {
  if (!file_.has(name))
    throw Error(kBadModel, path() + ": '" + source + "' is quantized but its factors '" + name +
                               "' are missing; download the file again");
  if (file_.info(name).count() != source_rows * per_row)
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(file_.info(name).shape) + ", '" +
                               source + "' needs " + shape_text({source_rows, per_row}));
  return file_.floats(name);
}

void Weights::load_quantized(const std::string& name, const StoredTensor& tensor, int64_t begin,
                             StoredMatrix& out) const {
  const TensorInfo& info = file_.info(tensor.source);
  const int64_t width = row_bytes(info.type, out.cols), source_rows = static_cast<int64_t>(info.bytes) / width;
  std::vector<float> scales, offsets;
  int64_t per_row = 0;
  if (info.type == DType::I8) {
    // bitsandbytes' form: the largest magnitude of a row.
    per_row = 1;
    scales = factors(tensor.source, tensor.source + "_scb", source_rows, 1);
    for (float& scale : scales) scale /= 127;
  } else if (info.type == DType::U8) {
    const std::string stem = tensor.source.substr(0, tensor.source.rfind('.'));
    if (!file_.has(stem + ".scales") || file_.info(stem + ".scales").shape.size() != 2)
      throw Error(kBadModel, path() + ": '" + name + "' holds whole numbers and cannot be run");
    per_row = file_.info(stem + ".scales").shape[1];
    out.group = per_row > 0 ? out.cols / per_row : 0;
    out.bits = info.bits;
    if (out.group < 1 || out.group * per_row != out.cols || out.group % 32 != 0)
      throw Error(kBadModel, path() + ": tensor '" + stem + ".scales' is " +
                                 shape_text(file_.info(stem + ".scales").shape) + ", which does not divide " +
                                 shape_text({out.rows, out.cols}) + " into groups");
    scales = factors(tensor.source, stem + ".scales", source_rows, per_row);
    offsets = factors(tensor.source, stem + ".biases", source_rows, per_row);
  } else if (block_elements(info.type) == 1) {
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + dtype_name(info.type) +
                               ", which cannot be run; use a float or quantized checkpoint");
  }
  each_part(source_rows, begin, out.rows, [&](int64_t from, int64_t to, int64_t count) {
    by_rows(&backend_, count, out.cols, [&](int64_t first, int64_t some) {
      file_.read(info, static_cast<uint64_t>((from + first) * width), out.bytes.data() + (to + first) * width,
                 static_cast<uint64_t>(some * width));
    });
    const auto rows = [&](std::vector<float>& of, const std::vector<float>& all) {
      if (!all.empty()) of.insert(of.end(), all.begin() + from * per_row, all.begin() + (from + count) * per_row);
    };
    rows(out.scales, scales);
    rows(out.offsets, offsets);
  });
}

StoredMatrix Weights::load(const std::string& name, const StoredTensor& tensor, int64_t begin, int64_t rows,
                           int64_t cols, DType type) const {
  StoredMatrix out{.type = is_float(tensor.type) ? type : tensor.type,
                   .rows = rows,
                   .cols = cols,
                   .bytes = {},
                   .scales = {},
                   .offsets = {}};
  if (tensor.source.empty()) out.type = type;
  out.bytes.resize(static_cast<size_t>(rows * row_bytes(out.type, cols)));
  if (tensor.source.empty() || rows * cols == 0) return out;
  if (is_float(tensor.type)) {
    load_floats(name, tensor, begin, out);
    return out;
  }
  load_quantized(name, tensor, begin, out);
  return converted(std::move(out), type, &backend_);
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
  for (int i = 0; i < kept; ++i) out.push_back(backend_.pack(load(name, tensor, i * rows, rows, cols, type)));
  return out;
}

Matrix Weights::table(const std::string& name, int64_t rows, int64_t cols) const {
  const StoredTensor& tensor = checked(name, rows, cols);
  DType type = packed_type(precision_, name, tensor.type, cols);
  // Single rows of other forms cannot be looked up.
  if (!is_float(type) && type != DType::Q8_0) type = DType::F16;
  return backend_.pack_table(load(name, tensor, 0, rows, cols, type));
}

StoredMatrix Weights::rows(const std::string& name, int64_t begin, int64_t count, DType type) const {
  const StoredTensor& tensor = stored(name);
  if (tensor.shape.size() != 2 || begin < 0 || count < 0 || begin + count > tensor.shape[0])
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(tensor.shape) + " and has no rows " +
                               std::to_string(begin) + " to " + std::to_string(begin + count));
  return load(name, tensor, begin, count, tensor.shape[1], type);
}

std::vector<float> Weights::vector(const std::string& name, int64_t count) const {
  const StoredTensor& tensor = stored(name);
  int64_t have = 1;
  for (const int64_t size : tensor.shape) have *= size;
  if (have != count)
    throw Error(kBadModel, path() + ": tensor '" + name + "' is " + shape_text(tensor.shape) + ", the config needs " +
                               std::to_string(count) + " values");
  if (tensor.source.empty()) return std::vector<float>(static_cast<size_t>(count));
  if (tensor.shape.size() == 2)
    return matrix_floats(load(name, tensor, 0, tensor.shape[0], tensor.shape[1], DType::F32));
  return file_.floats(tensor.source);
}

Matrix Weights::pack(const std::vector<float>& values, int64_t rows, int64_t cols) const {
  return backend_.pack(stored_floats(values, rows, cols));
}

Matrix Weights::pack_convolution(const std::vector<float>& values, int64_t rows, int64_t cols) const {
  // Those of few channels meet many samples, and the time goes into arithmetic.
  constexpr int64_t kLarge = 1 << 20;
  const bool rounded = precision_ == Precision::F16 && rows * cols >= kLarge;
  return backend_.pack(converted(stored_floats(values, rows, cols), rounded ? DType::F16 : DType::F32));
}

Buffer Weights::values(const std::string& name, int64_t count) const {
  return backend_.upload(vector(name, count));
}

Norm Weights::norm(const std::string& prefix, const std::string& kind, int64_t dim) const {
  Norm norm;
  if (kind == "layer_norm" || kind == "layer_norm_f32") {
    norm.kind = NormKind::Layer;
    norm.eps = kind == "layer_norm" ? 1e-5f : 1e-8f;
    norm.weight = values(prefix + ".weight", dim);
    norm.bias = values(prefix + ".bias", dim);
  } else if (kind == "rms_norm" || kind == "rms_norm_f32") {
    norm.kind = NormKind::Rms;
    norm.eps = kind == "rms_norm" ? 1e-5f : 1e-8f;
    norm.weight = values(prefix + ".alpha", dim);
  } else {
    throw Error(kBadModel, "the config asks for the norm '" + kind + "', which is unknown");
  }
  return norm;
}

}  // namespace moshi
