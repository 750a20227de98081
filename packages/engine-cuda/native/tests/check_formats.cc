// Weights as others publish them: int8 with row factors, MLX's words and groups, GGUF, three ways of naming. All must
// be what they stand for, whichever way they come.
#include <cmath>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "files/gguf_writer.h"
#include "files/mlx.h"
#include "files/safetensors_writer.h"
#include "files/values.h"
#include "model/convert.h"
#include "model/names.h"
#include "model/weights.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

struct Stored {
  std::string name;
  DType type;
  std::vector<int64_t> shape;
  std::string bytes;
};

template <typename T>
std::string raw(const std::vector<T>& values) {
  std::string out(values.size() * sizeof(T), '\0');
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

Stored floats(const std::string& name, const std::vector<int64_t>& shape, const std::vector<float>& values,
              DType type = DType::F32) {
  std::string bytes(values.size() * static_cast<size_t>(dtype_bytes(type)), '\0');
  from_floats(type, values.data(), values.size(), bytes.data());
  return {name, type, shape, bytes};
}

// A tensor of one number, by which names are told apart.
Stored mark(const std::string& name, float value) {
  return floats(name, {1}, {value});
}

void write(const std::string& path, const std::vector<Stored>& tensors) {
  std::vector<SafetensorsWriter::Tensor> list;
  for (const Stored& one : tensors) list.push_back({one.name, one.type, one.shape});
  SafetensorsWriter writer(path, list);
  for (const auto& tensor : writer.tensors())
    for (const Stored& one : tensors)
      if (one.name == tensor.name) writer.write(one.bytes.data(), one.bytes.size());
  writer.finish();
}

// What a packed matrix makes of unit vectors: its own values, with exact inputs.
std::vector<float> values_of(Backend& backend, const Matrix& matrix) {
  std::vector<float> out(static_cast<size_t>(matrix.rows * matrix.cols)), unit(static_cast<size_t>(matrix.cols)),
      column(static_cast<size_t>(matrix.rows));
  for (size_t c = 0; c < unit.size(); ++c) {
    unit.assign(unit.size(), 0);
    unit[c] = 1;
    backend.linear(matrix, unit.data(), matrix.cols, column.data(), matrix.rows, 1, false);
    for (size_t r = 0; r < column.size(); ++r) out[r * unit.size() + c] = column[r];
  }
  return out;
}

bool close(const std::vector<float>& a, const std::vector<float>& b, float allowed = 1e-6f) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i) same = std::fabs(a[i] - b[i]) <= allowed;
  return same;
}

void check_int8() {
  CpuBackend backend(2, nullptr, Inputs::Floats);
  const TemporaryFile file;
  // Three sets of two rows of a projection, stacked as published; the factors in bf16, one row of zeros.
  const std::vector<int8_t> codes = {127, -127, 1, 0,  64, -64, 2, 4, 0,  0,  0,  0,
                                     127, 0,    0, -1, 9,  8,   7, 6, -1, -2, -3, -4};
  const std::vector<float> tops = {127, 254, 0.5f, 0, 12.75f, 0.25f};
  write(file.path(), {{"l.in_proj_weight", DType::I8, {6, 4}, raw(codes)},
                      floats("l.in_proj_weight_scb", {6}, tops, DType::BF16),
                      {"emb.0.weight", DType::I8, {2, 4}, raw(std::vector<int8_t>(codes.begin(), codes.begin() + 8))},
                      floats("emb.0.weight_scb", {2}, {127, 254}, DType::F16),
                      {"bare.weight", DType::I8, {2, 4}, std::string(8, '\1')},
                      {"short.weight", DType::I8, {2, 4}, std::string(8, '\1')},
                      floats("short.weight_scb", {3}, {1, 1, 1}),
                      {"whole.weight", DType::I64, {1, 1}, std::string(8, '\1')},
                      {"words.weight", DType::I8, {1, 2}, "ab"},
                      {"words.weight_scb", DType::I32, {1}, "abcd"}});
  const auto opened = open_weights(file.path());
  const Weights weights(*opened, backend);
  std::vector<float> want;
  for (size_t i = 0; i < codes.size(); ++i) want.push_back(tops[i / 4] / 127 * static_cast<float>(codes[i]));
  const std::vector<Matrix> sets = weights.matrices("l.in_proj_weight", 3, 2, 2, 4);
  expect(sets.size() == 2 && sets[1].type == DType::I8 &&
             close(values_of(backend, sets[1]), {want.begin() + 8, want.begin() + 16}),
         "int8: the second of stacked sets has its own factors");
  expect(weights.vector("l.in_proj_weight", 24) == want, "int8: values are codes by factors over 127");
  const Matrix table = weights.table("emb.0.weight", 2, 4);
  std::vector<float> row(4);
  const int32_t id = 1;
  backend.embed(table, &id, 1, row.data(), 1, false);
  expect(table.type == DType::F16 && close(row, {want.begin() + 4, want.begin() + 8}), "int8: tables become floats");
  expect(refusal([&] { weights.matrix("bare.weight", 2, 4); }).find("bare.weight_scb") != std::string::npos,
         "int8: a matrix without its factors is refused by name");
  expect(refused([&] { weights.matrix("short.weight", 2, 4); }), "int8: factors must be as many as rows");
  expect(refused([&] { weights.matrix("words.weight", 1, 2); }), "int8: factors must be numbers");
  expect(refused([&] { weights.matrix("whole.weight", 1, 1); }), "int8: other whole numbers are refused");
  expect(refused([&] { weights.matrix("l.in_proj_weight", 4, 6); }), "int8: the shape is checked");
}

// Codes of a matrix as MLX packs them, with factors that f16 and bf16 hold exactly.
struct Mlx {
  int64_t rows, cols, group;
  int bits;
  std::vector<float> values;
  std::vector<Stored> tensors;

  Mlx(const std::string& stem, int64_t rows_, int64_t cols_, int64_t group_, int bits_, DType type)
      : rows(rows_), cols(cols_), group(group_), bits(bits_) {
    std::vector<uint32_t> words(static_cast<size_t>(rows * cols * bits / 32));
    std::vector<float> scales, biases;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t g = 0; g < cols / group; ++g) {
        scales.push_back(0.25f * static_cast<float>(1 + (r + g) % 3));
        biases.push_back(-0.5f * static_cast<float>(1 + (r + 2 * g) % 5));
      }
    for (int64_t i = 0; i < rows * cols; ++i) {
      const auto code = static_cast<uint32_t>((i * 7 + i / cols) & ((1 << bits) - 1));
      const auto bit = static_cast<size_t>(i * bits), at = static_cast<size_t>(i / group);
      words[bit / 32] |= code << (bit % 32);
      values.push_back(scales[at] * static_cast<float>(code) + biases[at]);
    }
    tensors = {{stem + ".weight", DType::U32, {rows, cols * bits / 32}, raw(words)},
               floats(stem + ".scales", {rows, cols / group}, scales, type),
               floats(stem + ".biases", {rows, cols / group}, biases, type)};
  }
};

std::vector<Stored> joined(std::initializer_list<std::vector<Stored>> parts) {
  std::vector<Stored> out;
  for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

void check_mlx() {
  CpuBackend backend(2, nullptr, Inputs::Floats);
  const TemporaryFile file;
  for (const int bits : {4, 8}) {
    const int64_t group = bits == 4 ? 32 : 64;
    const DType type = bits == 4 ? DType::BF16 : DType::F16;
    const std::string label = "mlx, " + std::to_string(bits) + " bits: ";
    const Mlx out("transformer.layers.0.self_attn.out_proj", 128, 128, group, bits, type),
        in("depformer.slices.3.linear_in", 48, 128, group, bits, type),
        table("audio_embs.2", 5, 128, group, bits, type);
    const std::vector<Stored> sound = joined({out.tensors, in.tensors, table.tensors, {mark("out_norm.weight", 3)}});
    write(file.path(), sound);
    const auto opened = open_weights(file.path());
    const Weights weights(*opened, backend);
    const Matrix matrix = weights.matrix("depformer_in.3.weight", 48, 128);
    expect(matrix.type == DType::U8 && matrix.bits == bits && matrix.group == group &&
               close(values_of(backend, matrix), in.values),
           label + "a matrix has its values");
    expect(weights.vector("transformer.layers.0.self_attn.out_proj.weight", 128 * 128) == out.values,
           label + "a square one too");
    const Matrix rows = weights.table("emb.2.weight", 5, 128);
    std::vector<float> row(128);
    const int32_t id = 4;
    backend.embed(rows, &id, 1, row.data(), 1, false);
    expect(close(row, {table.values.begin() + 4 * 128, table.values.end()}, 0.01f), label + "tables become floats");
    expect(weights.vector("out_norm.alpha", 1)[0] == 3, label + "norms are under the published name");
    expect(refused([&] { weights.matrix("depformer_in.3.weight", 48, 256); }), label + "the shape is checked");

    // Single rows, from the middle, and bytes that begin and end within a pair.
    const TensorInfo& info = opened->info("depformer_in.3.weight");
    std::vector<unsigned char> all(info.bytes), part(77);
    opened->read(info, all.data());
    opened->read(info, 131, part.data(), part.size());
    expect(std::equal(part.begin(), part.end(), all.begin() + 131), label + "any part can be read");

    const auto says = [&](auto change) {
      std::vector<Stored> tensors = sound;
      for (Stored& one : tensors) change(one);
      std::erase_if(tensors, [](const Stored& one) { return one.name.empty(); });
      const TemporaryFile changed;
      write(changed.path(), tensors);
      return refusal([&] {
        const auto broken = open_weights(changed.path());
        Weights(*broken, backend).matrix("depformer_in.3.weight", 48, 128);
      });
    };
    const auto is = [](const Stored& one, const char* end) {
      return one.name == std::string("depformer.slices.3.linear_in.") + end;
    };
    expect(says([&](Stored& one) {
             if (is(one, "scales")) one.name.clear();
           }).find("linear_in") != std::string::npos,
           label + "missing scales are refused by name");
    expect(!says([&](Stored& one) {
              if (is(one, "biases")) one.name.clear();
            }).empty(),
           label + "missing biases are refused");
    expect(!says([&](Stored& one) {
              if (is(one, "scales")) one.shape = {one.shape[0] * one.shape[1], 1};
            }).empty(),
           label + "scales of another shape are refused");
    expect(!says([&](Stored& one) {
              if (one.type == DType::U32 && one.shape[0] == 128) one.shape = {one.shape[0] * 2, one.shape[1] / 2};
            }).empty(),
           label + "codes of another width are refused");
    expect(!says([&](Stored& one) {
              if (one.name.find("out_proj") != std::string::npos) one.name.clear();
            }).empty(),
           label + "a file that cannot show its width is refused");
  }
  const Mlx out("a.self_attn.out_proj", 32, 32, 32, 4, DType::F16), in("b.linear", 3, 32, 32, 4, DType::F16);
  write(file.path(), joined({out.tensors, in.tensors}));
  fuzz("mlx", read_whole(file.path(), 1 << 20), 3000, [&](const std::string& bytes) {
    const TemporaryFile broken(bytes);
    const auto opened = open_weights(broken.path());
    const Weights weights(*opened, backend);
    for (const auto& [name, info] : opened->tensors())
      if (info.shape.size() == 2 && info.bytes < 1 << 20) {
        refused([&, n = name] { weights.vector(n, weights.size(n, 0) * weights.size(n, 1)); });
        weights.matrix(name, info.shape[0], info.shape[1]);
      }
  });
}

void check_names() {
  const TemporaryFile file;
  const auto names = [&](const std::vector<Stored>& tensors, const std::vector<int>& schedule = {}) {
    write(file.path(), tensors);
    std::map<std::string, float> out;
    const auto opened = open_weights(file.path(), schedule);
    for (const auto& [name, info] : opened->tensors()) out[name] = opened->floats(name)[0];
    return out;
  };
  using Names = std::map<std::string, float>;
  const Names published = {{"text_emb.weight", 1},
                           {"emb.11.weight", 2},
                           {"out_norm.alpha", 3},
                           {"transformer.layers.3.self_attn.in_proj_weight", 4},
                           {"transformer.layers.3.norm1.alpha", 5},
                           {"depformer.layers.2.self_attn.in_proj_weight", 6},
                           {"depformer.layers.2.gating.1.linear_in.weight", 7},
                           {"depformer_in.1.weight", 8},
                           {"depformer_emb.0.low_rank.weight", 9},
                           {"linears.1.weight", 10}};
  std::vector<Stored> same, prefixed;
  for (const auto& [name, value] : published) {
    same.push_back(mark(name, value));
    prefixed.push_back(mark("lm." + name, value));
  }
  expect(names(same) == published, "names: published ones stay");
  expect(names(prefixed) == published, "names: ggml's prefix is taken off");

  const std::string deep = "depformer.1.transformer.layers.2.";
  expect(names({mark("text_emb.weight", 1), mark("emb.11.weight", 2), mark("out_norm.alpha", 3),
                mark("depformer.0.emb.weight", 4), mark("depformer.2.emb.weight", 5),
                mark("depformer.2.emb.low_rank.weight", 6), mark("depformer.1.linear_in.weight", 7),
                mark("depformer.1.linear_out.weight", 8), mark(deep + "self_attn.in_proj_weight", 9),
                mark(deep + "self_attn.out_proj.weight", 10), mark(deep + "gating.linear_in.weight", 11),
                mark(deep + "norm1.alpha", 12), mark("depformer.0.transformer.layers.2.norm1.alpha", 13)}) ==
             Names{{"text_emb.weight", 1},
                   {"emb.11.weight", 2},
                   {"out_norm.alpha", 3},
                   {"depformer_text_emb.weight", 4},
                   {"depformer_emb.1.weight", 5},
                   {"depformer_emb.1.low_rank.weight", 6},
                   {"depformer_in.1.weight", 7},
                   {"linears.1.weight", 8},
                   {"depformer.layers.2.self_attn.in_projs.1.weight", 9},
                   {"depformer.layers.2.self_attn.out_projs.1.weight", 10},
                   {"depformer.layers.2.gating.1.linear_in.weight", 11},
                   {"depformer.layers.2.norm1.alpha", 13}},
         "names: Rust's, one depth transformer a codebook");

  const std::string slice = "depformer.slices.0.";
  expect(names({mark("audio_embs.3.weight", 1), mark("out_norm.weight", 2),
                mark("transformer.layers.0.norm2.weight", 3), mark("transformer.layers.0.self_attn.in_proj.weight", 4),
                mark(slice + "emb.weight", 5), mark(slice + "transformer.layers.1.norm2.weight", 6),
                mark(slice + "transformer.layers.1.self_attn.in_proj.weight", 7),
                mark("transformer.layers.0.norm_cross.weight", 8), mark("x.norm.weight", 9),
                mark("x.norm.bias", 10)}) == Names{{"emb.3.weight", 1},
                                                   {"out_norm.alpha", 2},
                                                   {"transformer.layers.0.norm2.alpha", 3},
                                                   {"transformer.layers.0.self_attn.in_proj.weight", 4},
                                                   {"depformer_text_emb.weight", 5},
                                                   {"depformer.layers.1.norm2.alpha", 6},
                                                   {"depformer.layers.1.self_attn.in_projs.0.weight", 7},
                                                   {"transformer.layers.0.norm_cross.weight", 8},
                                                   {"x.norm.weight", 9},
                                                   {"x.norm.bias", 10}},
         "names: MLX's");

  // Codebooks 1 and 2 share weights, which the file repeats; heads and embeddings they do not share.
  const auto of = [](int k, const char* rest) { return "depformer." + std::to_string(k) + rest; };
  std::vector<Stored> repeated;
  for (int k = 0; k < 4; ++k)
    for (const char* rest :
         {".linear_in.weight", ".linear_out.weight", ".emb.weight", ".transformer.layers.0.gating.linear_in.weight"})
      repeated.push_back(mark(of(k, rest), static_cast<float>(10 * k)));
  expect(names(repeated, {0, 1, 1, 2}) == Names{{"depformer_in.0.weight", 0},
                                                {"depformer_in.1.weight", 10},
                                                {"depformer_in.2.weight", 30},
                                                {"linears.0.weight", 0},
                                                {"linears.1.weight", 10},
                                                {"linears.2.weight", 20},
                                                {"linears.3.weight", 30},
                                                {"depformer_text_emb.weight", 0},
                                                {"depformer_emb.0.weight", 10},
                                                {"depformer_emb.1.weight", 20},
                                                {"depformer_emb.2.weight", 30},
                                                {"depformer.layers.0.gating.0.linear_in.weight", 0},
                                                {"depformer.layers.0.gating.1.linear_in.weight", 10},
                                                {"depformer.layers.0.gating.2.linear_in.weight", 30}},
         "names: what codebooks share is taken once");
  expect(refused([&] {
           names({mark("emb.1.weight", 1), mark("audio_embs.1.weight", 2)});
         }),
         "names: two tensors of one name are refused");
}

void check_gguf_weights() {
  CpuBackend backend(2, nullptr, Inputs::Floats);
  const TemporaryFile file;
  std::vector<float> values(3 * 512);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  std::vector<GgufWriter::Tensor> list;
  const std::pair<const char*, DType> kinds[] = {{"a", DType::Q8_0}, {"b", DType::Q4_0}, {"c", DType::Q4_K},
                                                 {"d", DType::F16},  {"e", DType::BF16}, {"f", DType::F32}};
  for (const auto& [name, type] : kinds) list.push_back({std::string(name) + ".weight", type, {3, 512}});
  {
    GgufWriter writer(file.path(), list);
    for (const auto& tensor : list) {
      StoredMatrix plain{.type = DType::F32, .rows = 3, .cols = 512, .bytes = {}, .scales = {}, .offsets = {}};
      plain.bytes.resize(values.size() * 4);
      std::memcpy(plain.bytes.data(), values.data(), plain.bytes.size());
      const StoredMatrix one = converted(plain, tensor.type);
      writer.write(one.bytes.data(), one.bytes.size());
    }
    writer.finish();
  }
  const auto opened = open_weights(file.path());
  const Weights weights(*opened, backend);
  for (const auto& tensor : list) {
    const Matrix matrix = weights.matrix(tensor.name, 3, 512);
    const float allowed = block_elements(tensor.type) == 1 ? 0.01f : tensor.type == DType::Q8_0 ? 0.01f : 0.2f;
    const std::vector<float> back = weights.vector(tensor.name, 3 * 512);
    expect(matrix.type == tensor.type && close(values_of(backend, matrix), back, 1e-5f) && close(back, values, allowed),
           std::string("gguf: ") + dtype_name(tensor.type) + " is run as stored");
    const Matrix table = weights.table(tensor.name, 3, 512);
    std::vector<float> row(512);
    const int32_t id = 2;
    backend.embed(table, &id, 1, row.data(), 1, false);
    expect(close(row, {back.begin() + 1024, back.end()}, 1e-3f),
           std::string("gguf: a table of ") + dtype_name(tensor.type));
  }
}

}  // namespace

void check_formats() {
  check_int8();
  check_mlx();
  check_names();
  check_gguf_weights();
}

}  // namespace moshi
