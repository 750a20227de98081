// What the bench stands on: weights that are made up have the shapes of published ones and can be run, bytes are
// counted to the last, and what does not fit into memory is refused. No times.
#include <cmath>
#include <map>

#include "core/memory.h"
#include "core/quant.h"
#include "cuda/host/emulated_driver.h"
#include "files/file.h"
#include "files/safetensors.h"
#include "runtime/bench.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

void check_synthetic() {
  const Synthetic file("made up", {{"f", DType::F32, {3, 5}, 1, 0.1f},
                                   {"b", DType::BF16, {64, 4096}, 0, 0.02f},
                                   {"q8", DType::Q8_0, {40, 4096}, 0, 0.5f},
                                   {"q4", DType::Q4_0, {7, 64}, 0, 0.5f},
                                   {"k", DType::Q4_K, {2, 512}, 0, 0.5f}});
  for (const auto& [name, info] : file.tensors()) {
    const bool blocks = block_elements(info.type) > 1;
    std::vector<float> values(static_cast<size_t>(info.count()));
    if (blocks) {
      std::vector<char> raw(info.bytes);
      file.TensorFile::read(info, raw.data());
      dequantize(info.type, raw.data(), info.count(), values.data());
    } else {
      values = file.floats(name);
    }
    const float mean = name == "f" ? 1.0f : 0.0f, spread = blocks ? 0.5f : name == "f" ? 0.1f : 0.02f;
    float least = values[0], most = values[0];
    for (const float v : values) least = std::min(least, v), most = std::max(most, v);
    expect(finite(values) && least >= mean - 1.01f * spread && most <= mean + 1.01f * spread &&
               (values.size() < 100 || (least < mean - 0.9f * spread && most > mean + 0.8f * spread)),
           "synthetic: values of " + name + " are spread as asked for");
  }
  // A tensor longer than what it is made of, read in odd parts.
  const Synthetic large("made up", {{"a", DType::Q8_0, {4, 512}, 0, 1}, {"w", DType::Q8_0, {1000, 4096}, 0, 1}});
  const TensorInfo& info = large.info("w");
  std::vector<char> whole(info.bytes), parts(info.bytes);
  large.TensorFile::read(info, whole.data());
  for (uint64_t at = 0; at < info.bytes; at += 777'777)
    large.read(info, at, &parts[at], std::min<uint64_t>(777'777, info.bytes - at));
  expect(whole == parts, "synthetic: parts are those of the whole");
  expect(refused([&] { large.read(info, info.bytes - 1, parts.data(), 2); }) &&
             refused([&] { large.read(info, ~uint64_t{0}, parts.data(), 2); }),
         "synthetic: refuses to read beyond the end");
  expect(refused([] {
           Synthetic odd("odd", {{"w", DType::Q8_0, {4, 40}, 0, 1}});
         }) &&
             refused([] {
               Synthetic odd("odd", {{"w", DType::I64, {4, 40}, 0, 1}});
             }),
         "synthetic: refuses what it cannot make");
}

Shapes shapes_of(const std::vector<TensorShape>& tensors) {
  Shapes out;
  for (const TensorShape& one : tensors) out[one.name] = one.dims;
  return out;
}

// Without what only training reads.
Shapes shapes_of(const TensorFile& file) {
  Shapes out;
  for (const auto& [name, info] : file.tensors())
    if (name.find("._initialized") == std::string::npos && name.find(".inited") == std::string::npos)
      out[name] = info.shape;
  return out;
}

void check_lm_runs(const SyntheticModel& model, Precision precision, const std::string& what) {
  CpuBackend backend(1);
  const auto file = synthetic_lm(model, precision);
  const Lm lm(Weights(*file, backend, {.precision = precision}), *model.lm);
  TransformerState state = lm.make_temporal();
  std::vector<Row> rows;
  state.extend(rows, 1, model.lm->temporal.context);
  const std::vector<int32_t> tokens(static_cast<size_t>(model.lm->streams()), 1);
  std::vector<float> hidden(static_cast<size_t>(lm.dim())), logits(static_cast<size_t>(model.lm->text_card_out));
  lm.temporal(tokens.data(), rows, hidden.data(), logits.data());
  bool good = finite(hidden) && finite(logits);
  if (model.lm->generated_codebooks > 0) {
    TransformerState depth = lm.make_depth();
    std::vector<float> codes(static_cast<size_t>(model.lm->card));
    for (int k = 0; k < lm.codebooks(); ++k) {
      rows.clear();
      depth.extend(rows, 1, 0);
      lm.depth(k, tokens.data(), hidden.data(), rows, codes.data());
      good = good && finite(codes);
    }
  }
  expect(good, what + ": runs on weights that are made up as " + precision_name(precision));
}

void check_lm_shapes(const std::string& config_path, const std::string& weights) {
  const Json json = Json::parse(read_whole(config_path, 1 << 20), config_path);
  const Safetensors file(weights);
  SyntheticModel model{.name = "synthetic", .lm = LmConfig::parse(json), .widths = Widths::of(json), .mimi = {}};
  model.numbered = file.has("transformer.layers.0.self_attn.in_projs.0.weight");
  const Shapes made = shapes_of(lm_tensors(*model.lm, model.widths, model.lm->generated_codebooks, model.numbered));
  expect(made == shapes_of(file), "shapes: those of " + weights);
  for (const Precision precision : {Precision::Stored, Precision::Q8, Precision::Q4})
    check_lm_runs(model, precision, weights);
}

void check_mimi_shapes(const std::string& folder, int64_t feed_forward) {
  const std::string path = folder + "/config.json";
  const MimiConfig config = MimiConfig::parse(Json::parse(read_whole(path, 1 << 20), path));
  const Safetensors file(folder + "/model.safetensors");
  const bool numbered = file.has("encoder_transformer.transformer.layers.0.self_attn.in_projs.0.weight");
  Shapes made = shapes_of(mimi_tensors(config, feed_forward, numbered)), real = shapes_of(file);
  // Older files name the entries of codebooks otherwise.
  const auto named = [](const Shapes& shapes) {
    Shapes out;
    for (const auto& [name, dims] : shapes) {
      const size_t at = name.find("._codebook.");
      out[at == std::string::npos ? name : name.substr(0, at) + (dims.size() == 2 ? ".entries" : ".uses")] = dims;
    }
    return out;
  };
  expect(named(made) == named(real), "shapes: those of " + folder);
}

// By the formulas of the published sizes: 7.37 G weights read a frame, 8.37 G in all.
void check_published() {
  const auto count = [](const SyntheticModel& model, int codebooks) {
    int64_t sum = 0;
    for (const TensorShape& one : lm_tensors(*model.lm, model.widths, codebooks, model.numbered)) {
      int64_t size = 1;
      for (const int64_t d : one.dims) size *= d;
      sum += size;
    }
    return sum;
  };
  expect(count(synthetic_model("personaplex-7b"), 16) == 8'371'408'896, "shapes: PersonaPlex has 8 371 408 896 values");
  expect(count(synthetic_model("moshi-7b"), 8) == 7'687'729'152, "shapes: Moshi has 7 687 729 152 values");
  expect(synthetic_model("tts-1.6b").lm->own_codebooks() == 32 && synthetic_model("stt-1b").lm->user_codebooks() == 32,
         "shapes: what speaks alone draws all codebooks, what hears alone none");
  expect(refusal([] { synthetic_model("7b"); }).find("personaplex-7b") != std::string::npos,
         "bench: an unknown synthetic model names those there are");
}

void check_frames() {
  Bench bench(2, "");
  BenchModel tiny;
  tiny.synthetic = "tiny";
  tiny.files.weights = Precision::Q8;
  tiny.files.kv = KvType::F16;
  const LoadTimes loaded = bench.load(tiny, 3, 100);
  expect(loaded.weights == Precision::Q8 && loaded.kv == KvType::F16, "bench: loads in the form asked for");
  // Weights of the two temporal layers, the text head, and of eight steps, in tiles of 17 bytes for 16 weights; rows of
  // 17 and 8 tables.
  const uint64_t layers = 2 * (768 * 256 + 256 * 256 + 1408 * 256 + 256 * 704), head = 96 * 256;
  const uint64_t step = 64 * 256 + 2 * (192 * 64 + 64 * 64 + 256 * 64 + 64 * 128) + 64 * 64;
  const uint64_t linear = (layers + head + 8 * step) * 17 / 16, rows = 17 * 256 * 34 / 32 + 8 * 64 * 34 / 32;
  // The ring is full, less the place the fork leaves out; a step sees those before it.
  const uint64_t temporal = 2 * 2 * 256 * 2 * 47, depth = 2 * 2 * 64 * 4 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8);
  const std::vector<FrameTimes> groups = bench.frames({1, 2}, 100, 3);
  const FrameTimes &one = groups[0], &two = groups[1], wrapped = bench.frames({1}, 100'000, 2)[0];
  expect(one.over_first == 1 && two.over_first > 0, "bench: groups are held against the first");
  expect(one.weight_bytes == linear + rows, "bench: bytes of weights are exact");
  expect(one.kv_bytes == temporal + depth, "bench: bytes of the attention's memory are exact");
  expect(two.weight_bytes == linear + 2 * rows && two.kv_bytes == 2 * one.kv_bytes,
         "bench: weights are read once for all conversations");
  expect(wrapped.kv_bytes == one.kv_bytes, "bench: a ring that wrapped around is no longer");
  expect(one.of_read > 0 && one.linear_of_read > 0, "bench: frames are held against plain reading");
  expect(one.frames == 3 && one.lm.best > 0 && one.lm.median >= one.lm.best && one.total.median >= one.lm.best,
         "bench: times are there");
  std::map<std::string, double> parts;
  for (const StageTime& stage : one.stages) parts[stage.stage] += stage.ms;
  for (const char* part : {"embeddings", "temporal", "textHead", "depth", "sampling"})
    expect(parts[part] > 0, std::string("bench: some time goes to ") + part);

  const CodecTimes all = bench.codec(false, 8, 2), single = bench.codec(true, 8, 2);
  expect(all.convolution_flops > 0 && all.convolution_flops == single.convolution_flops && all.convolution_ms > 0 &&
             !all.encode_stages.empty() && !all.decode_stages.empty(),
         "bench: the codec's convolutions are counted");

  BenchModel codec;
  codec.synthetic = "tiny";
  const LoadTimes stored = bench.load(codec, 1, 0);
  expect(stored.weights == Precision::Stored && stored.kv == KvType::F32 && bench.frames({1}, 0, 1)[0].frames == 1,
         "bench: small models are run as they are stored, from the beginning");

  BenchModel huge;
  huge.synthetic = "personaplex-7b";
  huge.files.kv = KvType::F32;
  const std::string said = refusal([&] { bench.load(huge, 256, 3000); });
  expect(said.find("needs") != std::string::npos && said.find("fewer sessions") != std::string::npos && !bench.has_lm(),
         "bench: what does not fit into memory is refused: " + said);
}

}  // namespace

// The frames again, on a GPU of fibers.
void check_gpu_bench() {
  const std::string on = "bench on a GPU: ";
  const gpu::host::StandInKernels images;
  {
    Bench bench(std::make_unique<CudaBackend>(gpu::host::emulated_driver({.memory = size_t{2000} << 20}),
                                              CardOptions{.kernels = images.folder()}, 1));
    expect(bench.card() && bench.threads() == 1 && bench.name() == "cuda-sm_80", on + "it says where it runs");
    expect(bench.read(1, 1 << 20, 0).median > 0 && bench.flops(0) == 0, on + "copying takes some time");
    BenchModel tiny;
    tiny.synthetic = "tiny";
    tiny.files.kv = KvType::F16;
    const LoadTimes loaded = bench.load(tiny, 3, 100);
    expect(loaded.weights == Precision::Stored && loaded.kv == KvType::F16 && loaded.peak_bytes >= loaded.packed_bytes,
           on + "it loads in the form asked for");
    const std::vector<FrameTimes> groups = bench.frames({1, 2}, 100, 1);
    const FrameTimes &one = groups[0], &two = groups[1];
    // Two bytes for a weight.
    const uint64_t layers = 2 * (768 * 256 + 256 * 256 + 1408 * 256 + 256 * 704), head = 96 * 256;
    const uint64_t step = 64 * 256 + 2 * (192 * 64 + 64 * 64 + 256 * 64 + 64 * 128) + 64 * 64;
    const uint64_t linear = 2 * (layers + head + 8 * step), rows = 2 * (17 * 256 + 8 * 64);
    const uint64_t temporal = 2 * 2 * 256 * 2 * 47, depth = 2 * 2 * 64 * 4 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8);
    expect(one.weight_bytes == linear + rows && two.weight_bytes == linear + 2 * rows,
           on + "bytes of weights are exact");
    expect(one.kv_bytes == temporal + depth && two.kv_bytes == 2 * one.kv_bytes,
           on + "bytes of the attention's memory are exact");
    expect(one.frames == 1 && one.lm.best > 0 && one.total.median >= one.lm.best && one.of_read > 0 &&
               one.over_first == 1 && two.over_first > 0,
           on + "times and ratios are there");
    expect(one.stages.empty() && one.linear_of_read == 0, on + "no stage is given a time it did not take");
    const std::optional<Tuned> tuned = bench.tune(10);
    expect(tuned && tuned->together_ms > 0 && tuned->apart_ms > 0, on + "two ways to launch are timed");
    const CodecTimes codec = bench.codec(true, 8, 1);
    expect(codec.encode.best > 0 && codec.decode.best > 0 && codec.encode_stages.empty() && codec.of_peak == 0,
           on + "the codec's times are there");
    BenchModel huge;
    huge.synthetic = "moshi-7b";
    expect(
        refusal([&] { bench.load(huge, 1, 0); }).find("2.1 GB are available") != std::string::npos && !bench.has_lm(),
        on + "what the GPU's memory does not hold is refused");
  }
  const gpu::host::EmulatedReport report = gpu::host::emulated_report();
  expect(report.graphs > 0, on + "frames are played from recordings");
  expect(report.mistakes.empty() && report.memory == 0,
         on + "all is given back" + (report.mistakes.empty() ? "" : ", but: " + report.mistakes[0]));
}

namespace {

void check_machine() {
  const Bench bench(2, "");
  const Repeats one = bench.read(1, 8 << 20, 0), two = bench.read(2, 8 << 20, 0);
  expect(one.median > 0 && one.best >= one.median && two.best > 0, "bench: reading memory takes some time");
  expect(bench.flops(0) > 0, "bench: and so do multiply-adds");
  const LayerTimes layers = bench.layers(DType::Q4_0, 1, 0);
  // All layers of one kind at least, in tiles of 9 bytes for 16 weights.
  expect(layers.bytes == (12288 * 4096 + 4096 * 4096 + 22528 * 4096 + 4096 * 11264) * uint64_t{9} / 16 &&
             layers.one.best > 0 && layers.eight.best > 0,
         "bench: bytes of layers are exact");
}

void check_memory_limits() {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("moshi-memory-" + std::to_string(std::random_device{}()));
  const auto put = [&](const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  expect(available_memory(root.string()) > uint64_t{1} << 60, "memory: nothing known is no limit");
  put("proc/meminfo", "MemTotal: 99 kB\nMemAvailable:    1000 kB\n");
  expect(available_memory(root.string()) == 1'024'000, "memory: what the system has");
  put("proc/self/cgroup", "4:memory:/a/b\n0::/x/y\n");
  put("sys/fs/cgroup/x/memory.max", "700000\n");
  put("sys/fs/cgroup/x/memory.current", "300000\n");
  put("sys/fs/cgroup/x/memory.stat", "file 5\ninactive_file 100000\n");
  expect(available_memory(root.string()) == 500'000, "memory: what a cgroup above leaves, without what is cached");
  put("sys/fs/cgroup/x/y/memory.max", "max\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "400000\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "500000\n");
  expect(available_memory(root.string()) == 0, "memory: none is left where more than the limit is taken");
  fs::remove_all(root);
}

}  // namespace

void check_bench(const std::string& fixtures) {
  check_synthetic();
  check_published();
  check_memory_limits();
  check_machine();
  check_frames();
  if (fixtures.empty()) return;
  for (const char* name : {"lm-moshi-tiny", "lm-personaplex-tiny", "lm-stt-tiny", "lm-variant", "lm-lora-tiny"})
    check_lm_shapes(fixtures + "/" + name + "/config.json", fixtures + "/" + name + "/model.safetensors");
  for (const char* form : {"dep_q8", "dep_q16"})
    check_lm_shapes(fixtures + "/personaplex-expand/config_" + form + ".json",
                    fixtures + "/personaplex-expand/" + form + ".safetensors");
  check_mimi_shapes(fixtures + "/mimi-tiny", 160);
  check_mimi_shapes(fixtures + "/mimi-variant", 40);
}

}  // namespace moshi
