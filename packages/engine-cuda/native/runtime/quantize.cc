#include "runtime/quantize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/path.h"
#include "files/gguf_writer.h"
#include "files/safetensors_writer.h"
#include "files/values.h"
#include "model/convert.h"
#include "model/weights.h"

namespace moshi {

namespace {

constexpr int64_t kPiece = 4 << 20;  // values converted at once
constexpr std::pair<const char*, DType> kUniform[] = {{"q8_0", DType::Q8_0}, {"q4_0", DType::Q4_0},
                                                      {"q4_k", DType::Q4_K}, {"f16", DType::F16},
                                                      {"bf16", DType::BF16}, {"f32", DType::F32}};
constexpr std::array<const char*, 3> kPolicies = {"q8", "mixed", "q4"};

bool begins(const std::string& text, std::string_view with) {
  return text.compare(0, with.size(), with) == 0;
}

bool ends(const std::string& text, std::string_view with) {
  return text.size() >= with.size() && text.compare(text.size() - with.size(), with.size(), with) == 0;
}

// Tables of embeddings: [depformer_]text_emb.weight, [depformer_]emb.N.weight.
bool is_table(const std::string& name) {
  std::string_view rest = name;
  if (rest.substr(0, 10) == "depformer_") rest.remove_prefix(10);
  if (rest == "text_emb.weight") return true;
  if (rest.substr(0, 4) != "emb.") return false;
  rest.remove_prefix(4);
  while (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') rest.remove_prefix(1);
  return rest == ".weight";
}

// Factors of a quantized weight, which are read with it.
bool is_factor(const TensorFile& file, const std::string& name) {
  if (ends(name, "_scb")) return file.has(name.substr(0, name.size() - 4));
  for (const std::string_view end : {".scales", ".biases"})
    if (ends(name, end)) {
      const std::string weight = name.substr(0, name.size() - end.size()) + ".weight";
      return file.has(weight) && file.info(weight).type == DType::U8;
    }
  return false;
}

// What a tensor of the new file is made of.
struct Piece {
  std::string source;
  bool scales = false;  // the largest magnitudes of its rows
  bool rows = false;    // as a matrix, or all at once
};

template <typename Tensor>
struct Plan {
  std::vector<Tensor> tensors;
  std::map<std::string, Piece> pieces;
  std::vector<std::string> notes;
  uint64_t values = 0, bytes = 0;

  void add(const Tensor& tensor, const Piece& piece) {
    tensors.push_back(tensor);
    pieces[tensor.name] = piece;
    uint64_t count = 1;
    for (const int64_t size : tensor.shape) count *= static_cast<uint64_t>(size);
    if (piece.rows) values += count;
    bytes += tensor.bytes();
  }
};

// The type rows of so many columns can have.
DType fitting(DType wanted, DType stored, int64_t cols, bool keep_odd) {
  const DType other = is_float(stored) && (keep_odd || stored == DType::BF16) ? stored : DType::F16;
  if (wanted == DType::Q4_K && cols % 256 != 0 && !keep_odd) wanted = DType::Q4_0;
  return cols % block_elements(wanted) == 0 ? wanted : other;
}

template <typename Tensor>
Plan<Tensor> plan(const TensorFile& file, const QuantizeOptions& options, bool published) {
  Plan<Tensor> out;
  for (const auto& [name, info] : file.tensors()) {
    if (is_factor(file, name)) continue;
    const bool blocks = block_elements(info.type) > 1, codes = info.type == DType::I8 || info.type == DType::U8;
    const bool matrix = info.shape.size() == 2 && ends(name, "weight") && (is_float(info.type) || blocks || codes);
    if (!matrix || begins(name, "condition_provider.")) {
      // What is no weight of a layer keeps its numbers; ggml wants them wide.
      const bool widened = blocks || (matrix && codes) || (is_float(info.type) && !published);
      out.add({name, widened ? DType::F32 : info.type, info.shape}, {name, false, matrix});
      continue;
    }
    const int64_t cols = info.shape[1];
    const DType wanted = options.type.wanted(name, cols);
    if (published && wanted == DType::Q8_0) {
      if (is_table(name)) {
        out.add({name, is_float(info.type) ? info.type : DType::F16, info.shape}, {name, false, true});
      } else {
        out.add({name, DType::I8, info.shape}, {name, false, true});
        out.add({name + "_scb", DType::F32, {info.shape[0]}}, {name, true, false});
      }
      continue;
    }
    const DType type = fitting(wanted, info.type, cols, options.keep_odd);
    if (type != wanted)
      out.notes.push_back(name + ": rows of " + std::to_string(cols) + " are not whole blocks of " +
                          dtype_name(wanted) + "; it is " + dtype_name(type));
    out.add({name, type, info.shape}, {name, false, true});
  }
  return out;
}

// int8 codes of rows and the largest magnitudes they stand for.
struct Codes {
  std::vector<char> codes;
  std::vector<float> tops;
};

Codes encode(const StoredMatrix& floats, Backend& backend) {
  Codes out{std::vector<char>(static_cast<size_t>(floats.rows * floats.cols)),
            std::vector<float>(static_cast<size_t>(floats.rows))};
  by_rows(&backend, floats.rows, floats.cols, [&](int64_t begin, int64_t count) {
    std::vector<float> row(static_cast<size_t>(floats.cols));
    for (int64_t r = begin; r < begin + count; ++r) {
      matrix_rows(floats, r, 1, row.data());
      float top = 0;
      for (const float value : row) top = std::max(top, std::fabs(value));
      out.tops[static_cast<size_t>(r)] = top;
      const float inverse = top > 0 ? 127 / top : 0;
      for (size_t c = 0; c < row.size(); ++c)
        out.codes[static_cast<size_t>(r) * row.size() + c] =
            static_cast<char>(std::lrint(std::clamp(row[c] * inverse, -127.0f, 127.0f)));
    }
  });
  return out;
}

template <typename Writer>
class Job {
 public:
  Job(const TensorFile& file, const QuantizeOptions& options, Backend& backend, bool published)
      : file_(file),
        options_(options),
        backend_(backend),
        weights_(file, backend),
        plan_(plan<typename Writer::Tensor>(file, options, published)) {
    check_room();
    Writer writer(options.out, plan_.tensors, options.texts);
    for (const auto& tensor : writer.tensors()) write(writer, tensor);
    writer.finish();
  }

  Quantized result() const { return {plan_.bytes, plan_.notes}; }

 private:
  using Tensor = typename Writer::Tensor;

  // Better at once than after minutes.
  void check_room() const {
    std::error_code failed;
    const auto folder = std::filesystem::absolute(path_of(options_.out)).parent_path();
    const auto room = std::filesystem::space(folder, failed);
    if (!failed && room.available < plan_.bytes)
      throw Error(kBadFile, options_.out + ": needs " + std::to_string(plan_.bytes >> 20) + " MB, and its disk has " +
                                std::to_string(room.available >> 20) + " MB left");
  }

  void write(Writer& writer, const Tensor& tensor) {
    const Piece& piece = plan_.pieces.at(tensor.name);
    const TensorInfo& info = file_.info(piece.source);
    if (!piece.rows && !piece.scales) return write_whole(writer, tensor, info);
    const int64_t rows = info.shape[0], cols = info.shape[1],
                  step = std::max<int64_t>(1, kPiece / std::max<int64_t>(1, cols));
    const bool coded = tensor.type == DType::I8 || piece.scales;
    for (int64_t begin = 0; begin < rows; begin += step) {
      const int64_t count = std::min(step, rows - begin);
      const StoredMatrix part = weights_.rows(piece.source, begin, count, coded ? DType::F32 : tensor.type);
      if (coded) {
        const Codes codes = encode(part, backend_);
        if (piece.scales)
          writer.write(codes.tops.data(), codes.tops.size() * sizeof(float));
        else
          writer.write(codes.codes.data(), codes.codes.size());
      } else {
        writer.write(part.bytes.data(), part.bytes.size());
      }
      if (!piece.scales) done_ += static_cast<uint64_t>(count * cols);
      if (options_.progress) options_.progress(done_, plan_.values);
    }
  }

  void write_whole(Writer& writer, const Tensor& tensor, const TensorInfo& info) {
    std::vector<char> bytes(tensor.bytes());
    if (tensor.type == info.type) {
      file_.read(info, bytes.data());
    } else {
      const std::vector<float> values = file_.floats(tensor.name);
      from_floats(tensor.type, values.data(), values.size(), bytes.data());
    }
    writer.write(bytes.data(), bytes.size());
  }

  const TensorFile& file_;
  const QuantizeOptions& options_;
  Backend& backend_;
  Weights weights_;
  Plan<Tensor> plan_;
  uint64_t done_ = 0;
};

}  // namespace

QuantizeType::QuantizeType(const std::string& name) : name_(name) {
  const auto is = [&](const char* known) { return name == known; };
  if (std::any_of(kPolicies.begin(), kPolicies.end(), is)) return;
  for (const auto& [known, type] : kUniform)
    if (is(known)) return;
  throw Error(kBadOption,
              "weights '" + printable(name) + "' are none of q8, mixed, q4, q8_0, q4_0, q4_k, f16, bf16 and f32");
}

DType QuantizeType::wanted(const std::string& tensor, int64_t cols) const {
  for (const auto& [known, type] : kUniform)
    if (name_ == known) return is_table(tensor) && (type == DType::Q4_0 || type == DType::Q4_K) ? DType::Q8_0 : type;
  return packed_type(parse_precision(name_), tensor, DType::F32, cols);
}

Quantized quantize_weights(const TensorFile& file, const QuantizeOptions& options, Backend& backend) {
  std::error_code ignored;
  if (std::filesystem::equivalent(path_of(file.path()), path_of(options.out), ignored))
    throw Error(kBadOption, options.out + ": is the file that is read; give the new one another name");
  if (ends(options.out, ".gguf")) {
    QuantizeOptions named = options;
    named.texts.emplace("general.architecture", "moshi");
    named.texts.emplace("moshi.weights", options.type.name());
    return Job<GgufWriter>(file, named, backend, false).result();
  }
  if (!ends(options.out, ".safetensors"))
    throw Error(kBadOption, options.out + ": give the new file a name that ends with .gguf or .safetensors");
  const std::string& type = options.type.name();
  if (type != "q8" && type != "f16" && type != "bf16" && type != "f32")
    throw Error(kBadOption, options.out + ": safetensors hold q8, f16, bf16 and f32; give " + type +
                                " a name that ends with .gguf");
  return Job<SafetensorsWriter>(file, options, backend, true).result();
}

}  // namespace moshi
