// Writing weights in other types, and the cache of what is quantized at load.
#include <cmath>
#include <cstring>
#include <filesystem>

#include "core/quant.h"
#include "cpu/cpu_backend.h"
#include "files/safetensors_writer.h"
#include "files/values.h"
#include "model/convert.h"
#include "model/names.h"
#include "model/weights.h"
#include "runtime/quantize.h"
#include "runtime/weights_cache.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() { fs::create_directories(path_of(path_.path())); }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_of(path_.path()), ignored);
  }
  std::string file(const std::string& name) const { return path_.path() + "/" + name; }

 private:
  TemporaryFile path_;
};

constexpr const char *kAttention = "transformer.layers.0.self_attn.in_proj_weight",
                     *kGate = "transformer.layers.0.gating.linear_in.weight",
                     *kOdd = "transformer.layers.1.gating.linear_in.weight", *kDepth = "depformer_in.0.weight",
                     *kTable = "emb.0.weight", *kNorm = "out_norm.alpha";

struct Shape {
  const char* name;
  int64_t rows, cols;
};
constexpr Shape kShapes[] = {{kAttention, 6, 512},       {kGate, 5, 512},  {kOdd, 3, 96},
                             {kDepth, 4, 512},           {kTable, 7, 512}, {kNorm, 1, 512},
                             {"linears.0.weight", 3, 44}};

std::vector<float> random_values(const Shape& shape) {
  std::mt19937 random(static_cast<unsigned>(shape.rows));
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> out(static_cast<size_t>(shape.rows * shape.cols));
  // Values bf16 holds.
  for (float& value : out) value = bf16_to_float(float_to_bf16(normal(random)));
  return out;
}

// A small bf16 checkpoint with every kind of tensor.
void write_model(const std::string& path) {
  std::vector<SafetensorsWriter::Tensor> list;
  for (const Shape& shape : kShapes)
    list.push_back(
        {shape.name, DType::BF16,
         shape.name == kNorm ? std::vector<int64_t>{1, 1, shape.cols} : std::vector<int64_t>{shape.rows, shape.cols}});
  SafetensorsWriter writer(path, list);
  for (const auto& tensor : writer.tensors())
    for (const Shape& shape : kShapes) {
      if (tensor.name != shape.name) continue;
      std::vector<char> raw(tensor.bytes());
      const std::vector<float> values = random_values(shape);
      from_floats(DType::BF16, values.data(), values.size(), raw.data());
      writer.write(raw.data(), raw.size());
    }
  writer.finish();
}

double loss(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0, power = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(double{got[i]} - double{want[i]}, 2);
    power += std::pow(double{want[i]}, 2);
  }
  return got.size() == want.size() ? std::sqrt(error / power) : 1;
}

// The worst loss a type may have.
double allowed(DType type) {
  return type == DType::F32 || type == DType::BF16 ? 0
         : type == DType::F16                      ? 1e-4
         : type == DType::Q8_0                     ? 0.007
         : type == DType::I8                       ? 0.02
                                                   : 0.1;
}

using Types = std::map<std::string, DType>;

void check_types() {
  const TemporaryFolder folder;
  CpuBackend backend(2, nullptr, Inputs::Floats);
  const std::string in = folder.file("model.safetensors");
  write_model(in);
  const auto source = open_weights(in);
  const DType bf16 = DType::BF16, f32 = DType::F32, q8 = DType::Q8_0, q4 = DType::Q4_0, k = DType::Q4_K;
  const auto types = [&](DType attention, DType gate, DType odd, DType depth, DType table, DType tail) {
    return Types{{kAttention, attention},   {kGate, gate}, {kOdd, odd}, {kDepth, depth}, {kTable, table}, {kNorm, f32},
                 {"linears.0.weight", tail}};
  };
  const std::pair<const char*, Types> wanted[] = {{"q8", types(q8, q8, q8, q8, q8, bf16)},
                                                  {"mixed", types(q8, k, q4, q8, q8, bf16)},
                                                  {"q4", types(k, k, q4, q8, q8, bf16)},
                                                  {"q8_0", types(q8, q8, q8, q8, q8, bf16)},
                                                  {"q4_0", types(q4, q4, q4, q4, q8, bf16)},
                                                  {"q4_k", types(k, k, q4, k, q8, bf16)},
                                                  {"bf16", types(bf16, bf16, bf16, bf16, bf16, bf16)},
                                                  {"f32", types(f32, f32, f32, f32, f32, f32)},
                                                  {"f16", [&] {
                                                     const DType f16 = DType::F16;
                                                     return types(f16, f16, f16, f16, f16, f16);
                                                   }()}};
  for (const auto& [name, want] : wanted) {
    const std::string out = folder.file(std::string(name) + ".gguf");
    uint64_t last = 0, total = 0;
    bool rising = true;
    const Quantized done = quantize_weights(*source,
                                            {.out = out,
                                             .type = QuantizeType(name),
                                             .progress =
                                                 [&](uint64_t at, uint64_t of) {
                                                   rising &= at >= last;
                                                   last = at;
                                                   total = of;
                                                 }},
                                            backend);
    const auto back = open_weights(out);
    const Weights weights(*back, backend);
    Types got;
    bool near = true;
    for (const Shape& shape : kShapes) {
      got[shape.name] = back->info(shape.name).type;
      near &=
          loss(weights.vector(shape.name, shape.rows * shape.cols), random_values(shape)) <= allowed(got[shape.name]);
      if (shape.name != kNorm) weights.matrix(shape.name, shape.rows, shape.cols);
    }
    expect(got == want, std::string("quantize: ") + name + " has the types it should");
    expect(near, std::string("quantize: ") + name + " has the values it should");
    expect(rising && last == total && total > 0, std::string("quantize: ") + name + " says how far it is");
    expect(back->tensors().size() == std::size(kShapes) && done.bytes > 0 && done.bytes <= fs::file_size(path_of(out)),
           std::string("quantize: ") + name + " is whole");
    const bool odd = name[0] == 'q' || name[0] == 'm';
    expect(done.notes.empty() != odd && (!odd || done.notes.front().find("rows of 44") != std::string::npos),
           std::string("quantize: ") + name + " says what does not fit");
  }

  const std::string published = folder.file("model.q8.safetensors");
  quantize_weights(*source, {.out = published, .type = QuantizeType("q8")}, backend);
  const auto int8 = open_weights(published);
  const Weights weights(*int8, backend);
  bool near = true;
  for (const Shape& shape : kShapes)
    near &= loss(weights.vector(shape.name, shape.rows * shape.cols), random_values(shape)) <=
            allowed(int8->info(shape.name).type);
  expect(near && int8->info(kAttention).type == DType::I8 &&
             int8->info(std::string(kAttention) + "_scb").shape == std::vector<int64_t>{6} &&
             int8->info(kTable).type == bf16 && int8->info(kNorm).type == bf16,
         "quantize: the published int8 form");
  const std::vector<float> tops = int8->floats(std::string(kDepth) + "_scb"), values = random_values(kShapes[3]);
  float top = 0;
  for (int i = 512; i < 1024; ++i) top = std::max(top, std::fabs(values[static_cast<size_t>(i)]));
  expect(tops[1] == top, "quantize: its factors are the largest magnitudes of rows");

  // What is quantized already can be written again.
  for (const char* const again : {"q8_0", "bf16"}) {
    const std::string out = folder.file(std::string("again-") + again + ".gguf");
    quantize_weights(*int8, {.out = out, .type = QuantizeType(again)}, backend);
    const auto back = open_weights(out);
    expect(!back->has(std::string(kDepth) + "_scb") &&
               loss(Weights(*back, backend).vector(kAttention, 6 * 512), random_values(kShapes[0])) < 0.03,
           std::string("quantize: int8 to ") + again);
  }

  const std::string before = read_whole(in, 1 << 20);
  const std::pair<const char*, std::string> bad[] = {
      {"its own source", in}, {"another ending", folder.file("x.bin")}, {"no folder", folder.file("none/x.gguf")}};
  for (const auto& [what, out] : bad)
    expect(refused([&, o = out] { quantize_weights(*source, {.out = o, .type = QuantizeType("q8")}, backend); }),
           std::string("quantize: refuses ") + what);
  fs::create_hard_link(path_of(in), path_of(folder.file("same.safetensors")));
  expect(refused([&] {
           quantize_weights(*source, {.out = folder.file("same.safetensors"), .type = QuantizeType("q8")}, backend);
         }),
         "quantize: refuses its source by another name");
  expect(read_whole(in, 1 << 20) == before, "quantize: the source is as it was");
  expect(refused([&] {
           quantize_weights(*source, {.out = folder.file("x.safetensors"), .type = QuantizeType("q4_k")}, backend);
         }),
         "quantize: blocks have no place in safetensors");
  expect(refused([] { QuantizeType("q5"); }), "quantize: refuses an unknown type");
}

// f16 ends at 65504.
void check_f16_range() {
  const TemporaryFolder folder;
  CpuBackend backend(1);
  const std::string in = folder.file("wide.safetensors");
  {
    SafetensorsWriter writer(in, {{"a.weight", DType::F32, {1, 2}}});
    const float values[] = {1, 70000};
    writer.write(values, sizeof values);
    writer.finish();
  }
  const auto source = open_weights(in);
  expect(refusal([&] {
           quantize_weights(*source, {.out = folder.file("x.gguf"), .type = QuantizeType("f16")}, backend);
         }).find("a.weight") != std::string::npos &&
             !fs::exists(path_of(folder.file("x.gguf"))),
         "quantize: a value that f16 cannot hold is refused");
}

void check_cache() {
  const TemporaryFolder folder;
  CpuBackend backend(2);
  const std::string in = folder.file("model.safetensors"), made = folder.file(".moshi/model.q8.gguf");
  write_model(in);
  int calls = 0;
  const auto get = [&](Precision precision, std::vector<std::string> folders) {
    calls = 0;
    return cached_weights(in, {}, precision,
                          {.folders = std::move(folders), .progress = [&](uint64_t, uint64_t) { ++calls; }}, backend);
  };
  // Windows has two separators.
  const auto same_file = [](const std::string& a, const std::string& b) { return path_of(a) == path_of(b); };
  const std::string beside = folder.file(".moshi"), impossible = in + "/x", other = folder.file("other");
  expect(get(Precision::Q8, {}).empty() && get(Precision::Q8, {impossible}).empty(),
         "cache: no folder, no file, and no error");
  expect(same_file(get(Precision::Q8, {impossible, beside}), made) && calls > 0,
         "cache: the first folder that takes it is used");
  expect(same_file(get(Precision::Q8, {beside, other}), made) && calls == 0, "cache: what is there is not made again");
  expect(same_file(get(Precision::Q8, {other, beside}), made) && calls == 0, "cache: wherever it is");
  expect(same_file(get(Precision::Q4, {beside}), folder.file(".moshi/model.q4.gguf")) && calls > 0,
         "cache: each type has its own");

  // The same matrices, from the file or from the source. It is closed then: Windows replaces no file that is open.
  {
    const auto cached = open_weights(made), source = open_weights(in);
    WeightsOptions q8;
    q8.precision = Precision::Q8;
    const Weights a(*cached, backend, q8), b(*source, backend, q8);
    bool same = true;
    for (const Shape& shape : kShapes) {
      if (shape.name == kNorm) continue;
      const Matrix left = a.matrix(shape.name, shape.rows, shape.cols),
                   right = b.matrix(shape.name, shape.rows, shape.cols);
      same &= left.type == right.type && left.bytes == right.bytes &&
              std::memcmp(left.data.get(), right.data.get(), left.bytes) == 0;
    }
    expect(same, "cache: runs bit for bit what would be quantized in memory");
  }

  const std::string whole = read_whole(made, 1 << 20);
  const auto put = [&](const std::string& bytes) {
    std::ofstream(path_of(made), std::ios::binary | std::ios::trunc) << bytes;
  };
  for (const std::string& broken : {std::string(), whole.substr(0, whole.size() - 100), std::string("GGUF") + whole}) {
    put(broken);
    expect(same_file(get(Precision::Q8, {beside}), made) && calls > 0 && read_whole(made, 1 << 20) == whole,
           "cache: a broken file is made again");
  }
  const fs::path source_path = path_of(in);
  const auto time = fs::last_write_time(source_path);
  fs::last_write_time(source_path, time + std::chrono::seconds(2));
  expect(same_file(get(Precision::Q8, {beside}), made) && calls > 0, "cache: a file of an older source is made again");
  const std::string newer = read_whole(made, 1 << 20);
  std::ofstream(path_of(in), std::ios::binary | std::ios::app) << "x";
  fs::last_write_time(source_path, time + std::chrono::seconds(2));
  expect(same_file(get(Precision::Q8, {beside}), made) && read_whole(made, 1 << 20) != newer,
         "cache: a source of another size too");

  const fs::path old = path_of(made + ".1-0.partial"), young = path_of(made + ".2-0.partial");
  std::ofstream(old) << "x";
  std::ofstream(young) << "x";
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(48));
  put("");
  get(Precision::Q8, {beside});
  expect(!fs::exists(old) && fs::exists(young), "cache: what a killed process left is taken away in time");
}

// An adapter is added to what the file holds, and the sum is rounded.
void check_adapted() {
  const TemporaryFolder folder;
  CpuBackend backend(2, nullptr, Inputs::Floats);
  const std::string in = folder.file("model.safetensors"), adapter = folder.file("lora.safetensors");
  write_model(in);
  {
    SafetensorsWriter writer(adapter, {{"depformer_in.0.lora_A.weight", DType::F32, {1, 512}},
                                       {"depformer_in.0.lora_B.weight", DType::F32, {4, 1}}});
    std::vector<float> values(512 + 4);
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    writer.write(values.data(), values.size() * sizeof(float));
    writer.finish();
  }
  const auto source = open_weights(in);
  const auto adapted = [&](const std::string& lora, DType type) {
    WeightsOptions options;
    options.lora = lora;
    return Weights(*source, backend, options).rows(kDepth, 0, 4, type);
  };
  const StoredMatrix sum = adapted(adapter, DType::BF16), rounded = adapted(adapter, DType::Q8_0);
  expect(rounded.bytes == converted(sum, DType::Q8_0).bytes && sum.bytes != adapted("", DType::BF16).bytes,
         "quantize: an adapter is added before weights are rounded");
}

}  // namespace

void check_quantize() {
  check_types();
  check_adapted();
  check_f16_range();
  check_cache();
}

}  // namespace moshi
