// What is done to a checkpoint while it is read: adapters, expansion, what a conversation leaves out; and writing it.
#include <filesystem>

#include "cpu/cpu_backend.h"
#include "files/safetensors_writer.h"
#include "files/values.h"
#include "model/config.h"
#include "model/weights.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

struct Values {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
  DType type = DType::F32;
};

// A safetensors file for as long as it is needed.
class ModelFile {
 public:
  explicit ModelFile(const std::vector<Values>& tensors, const std::map<std::string, std::string>& metadata = {}) {
    std::vector<SafetensorsWriter::Tensor> list;
    for (const Values& one : tensors) list.push_back({one.name, one.type, one.shape});
    SafetensorsWriter writer(file_.path(), list, metadata);
    for (const auto& tensor : writer.tensors())
      for (const Values& one : tensors) {
        if (one.name != tensor.name) continue;
        std::vector<char> raw(tensor.bytes());
        if (!from_floats(one.type, one.values.data(), one.values.size(), raw.data())) raw.assign(raw.size(), 1);
        writer.write(raw.data(), raw.size());
      }
    writer.finish();
  }
  const std::string& path() const { return file_.path(); }

 private:
  TemporaryFile file_;
};

std::vector<float> count_up(size_t count, float from = 0) {
  std::vector<float> out;
  for (size_t i = 0; i < count; ++i) out.push_back(from + static_cast<float>(i));
  return out;
}

void check_writer() {
  const ModelFile made({{"b", {2}, {1, 2}, DType::BF16}, {"a\"\n", {1, 2}, {3, 4}}, {"c", {0, 3}, {}}}, {{"k", "v\\"}});
  const Safetensors file(made.path());
  expect(file.floats("a\"\n") == std::vector<float>{3, 4} && file.floats("b") == std::vector<float>{1, 2} &&
             file.info("c").shape == std::vector<int64_t>{0, 3} && file.info("a\"\n").offset < file.info("b").offset,
         "safetensors writer: what it writes can be read, the widest types first");
  const TemporaryFile kept("as it was");
  {
    SafetensorsWriter writer(kept.path(), {{"a", DType::F32, {2}}});
    const float value = 1;
    writer.write(&value, 4);
    expect(refused([&] { writer.finish(); }), "safetensors writer: every tensor must be written");
    const double wide = 1;
    expect(refused([&] { writer.write(&wide, 8); }), "safetensors writer: no more than its tensors are written");
  }
  int left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path()))
    left += utf8(entry.path()).compare(0, kept.path().size() + 1, kept.path() + ".") == 0;
  expect(left == 0 && read_whole(kept.path(), 100) == "as it was",
         "safetensors writer: what is not finished leaves nothing behind");
  expect(refused([] { SafetensorsWriter nowhere("/nonexistent/file", {}); }),
         "safetensors writer: refuses a place it cannot write to");
}

void check_lora() {
  CpuBackend backend(1);
  // Sums a half, one, three quarters and one and a half steps of bf16 above 1.
  const ModelFile base({{"l.weight", {2, 2}, {1, 1, 1, 1}, DType::BF16},
                        {"x.in_proj_weight", {4, 3}, count_up(12)},
                        {"q.weight", {2, 2}, {}, DType::I8}});
  const Safetensors file(base.path());
  const auto fused = [&](const std::string& lora, float scale, const std::string& name) {
    const Weights weights(file, backend, {.expand = false, .lora = lora, .lora_rank = 0, .lora_scale = scale});
    return weights.vector(name, weights.size(name, 0) * weights.size(name, 1));
  };
  const ModelFile small({{"l.lora_A.weight", {1, 2}, {0x1p-8f, 0x1p-7f}}, {"l.lora_B.weight", {2, 1}, {1, 1.5f}}});
  expect(fused(small.path(), 1, "l.weight") == std::vector<float>{1, 1 + 0x1p-7f, 1 + 0x1p-7f, 1 + 0x1p-6f},
         "lora: sums are rounded once to the type of the weight");

  // Two sets of two rows, numbered or stacked; the second adds 10 times its row of ones.
  const ModelFile numbered(
      {{"x.in_projs.1.lora_A.weight", {1, 3}, {1, 1, 1}}, {"x.in_projs.1.lora_B.weight", {2, 1}, {10, 20}}});
  const ModelFile stacked(
      {{"x.in_proj.lora_A.weight", {2, 3}, {0, 0, 0, 1, 1, 1}}, {"x.in_proj.lora_B.weight", {4, 1}, {7, 7, 10, 20}}});
  const std::vector<float> want = {0, 1, 2, 3, 4, 5, 16, 17, 18, 29, 30, 31};
  expect(fused(numbered.path(), 1, "x.in_proj_weight") == want, "lora: a numbered adapter on stacked weights");
  expect(fused(stacked.path(), 1, "x.in_proj_weight") == want, "lora: a stacked adapter on stacked weights");
  const ModelFile apart(
      {{"x.in_projs.0.weight", {2, 3}, count_up(6)}, {"x.in_projs.1.weight", {2, 3}, count_up(6, 6)}});
  const Safetensors single(apart.path());
  for (const std::string& lora : {numbered.path(), stacked.path()}) {
    const Weights weights(single, backend, {.expand = false, .lora = lora, .lora_rank = 1, .lora_scale = 1});
    expect(weights.vector("x.in_projs.0.weight", 6) == count_up(6) &&
               weights.vector("x.in_projs.1.weight", 6) == std::vector<float>{16, 17, 18, 29, 30, 31},
           "lora: on weights that are numbered");
  }
  // Set by set, the adapter across their bounds.
  const Weights part(file, backend, {.expand = false, .lora = stacked.path(), .lora_rank = 0, .lora_scale = 1});
  const std::vector<Matrix> sets = part.matrices("x.in_proj_weight", 4, 3, 1, 3);
  const float one[] = {1, 0, 0};
  std::vector<float> first(3);
  for (size_t i = 0; i < 3; ++i) backend.linear(sets[i], one, 3, &first[i], 1, 1, false);
  expect(sets.size() == 3 && first == std::vector<float>{want[0], want[3], want[6]}, "lora: on the sets that are read");

  const std::pair<const char*, std::vector<Values>> bad[] = {
      {"holds no LoRA", {}},
      {"no part of a LoRA", {{"l.weight", {2, 2}, count_up(4)}}},
      {"no counterpart", {{"l.lora_A.weight", {1, 2}, {1, 1}}}},
      {"not a matrix", {{"l.lora_A.weight", {2}, {1, 1}}, {"l.lora_B.weight", {2, 1}, {1, 1}}}},
      {"same rank", {{"l.lora_A.weight", {3, 2}, count_up(6)}, {"l.lora_B.weight", {2, 2}, count_up(4)}}},
      {"same rank", {{"l.lora_A.weight", {2, 2}, count_up(4)}, {"l.lora_B.weight", {2, 1}, count_up(2)}}},
      {"config says lora_rank 1", {{"l.lora_A.weight", {2, 2}, count_up(4)}, {"l.lora_B.weight", {2, 2}, count_up(4)}}},
      {"no weight of", {{"m.lora_A.weight", {1, 2}, {1, 1}}, {"m.lora_B.weight", {2, 1}, {1, 1}}}},
      {"do not fit", {{"l.lora_A.weight", {1, 3}, count_up(3)}, {"l.lora_B.weight", {2, 1}, {1, 1}}}},
      {"do not fit", {{"l.lora_A.weight", {1, 2}, {1, 1}}, {"l.lora_B.weight", {3, 1}, count_up(3)}}},
      {"do not fit",
       {{"x.in_projs.2.lora_A.weight", {1, 3}, count_up(3)}, {"x.in_projs.2.lora_B.weight", {2, 1}, {1, 1}}}},
      {"same weights",
       {{"x.in_projs.1.lora_A.weight", {1, 3}, count_up(3)},
        {"x.in_projs.1.lora_B.weight", {2, 1}, {1, 1}},
        {"x.in_proj.lora_A.weight", {1, 3}, count_up(3)},
        {"x.in_proj.lora_B.weight", {4, 1}, count_up(4)}}},
      {"quantized", {{"q.lora_A.weight", {1, 2}, {1, 1}}, {"q.lora_B.weight", {2, 1}, {1, 1}}}}};
  for (const auto& [why, tensors] : bad) {
    const ModelFile adapter(tensors);
    const std::string said = refusal([&] { Lora lora(adapter.path(), file, 1, 2); });
    expect(said.find(why) != std::string::npos, std::string("lora: refuses what has ") + why + ": " + said);
  }
}

// Moshi's names at the smallest sizes: two codebooks a side.
std::vector<Values> small_moshi() {
  std::vector<Values> out;
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols) {
    out.push_back(
        {name, {rows, cols}, count_up(static_cast<size_t>(rows * cols), static_cast<float>(100 * out.size()))});
  };
  for (int k = 0; k < 4; ++k) add("emb." + std::to_string(k) + ".weight", 3, 2);
  for (int k = 0; k < 2; ++k) add("linears." + std::to_string(k) + ".weight", 2, 2);
  for (int k = 0; k < 2; ++k) add("depformer_in." + std::to_string(k) + ".weight", 2, 2);
  for (int k = 0; k < 2; ++k) add("depformer.layers.0.gating." + std::to_string(k) + ".linear_in.weight", 4, 2);
  add("depformer.layers.0.self_attn.in_proj_weight", 12, 2);
  add("depformer_emb.0.weight", 3, 2);
  return out;
}

void check_expansion() {
  CpuBackend backend(1);
  const ModelFile moshi(small_moshi());
  const Safetensors file(moshi.path());
  const ModelFile adapter({{"linears.1.lora_A.weight", {1, 2}, {1, 1}}, {"linears.1.lora_B.weight", {2, 1}, {1, 0}}});
  const Weights weights(file, backend, {.expand = true, .lora = adapter.path(), .lora_rank = 0, .lora_scale = 10});
  expect(weights.vector("depformer_in.3.weight", 4) == file.floats("depformer_in.1.weight"),
         "expansion: the user's codebooks begin as copies");
  std::vector<float> changed = file.floats("linears.1.weight");
  changed[0] += 10;
  changed[1] += 10;
  expect(weights.vector("linears.3.weight", 4) == changed, "expansion: an adapter is added before");
  std::vector<float> twice = file.floats("depformer.layers.0.self_attn.in_proj_weight");
  twice.insert(twice.end(), twice.begin(), twice.begin() + 24);
  expect(weights.vector("depformer.layers.0.self_attn.in_proj_weight", 48) == twice,
         "expansion: attention weights stand twice");
  expect(weights.vector("depformer_emb.1.weight", 6) == std::vector<float>(6) &&
             weights.vector("depformer_emb.2.weight", 6) == file.floats("depformer_emb.0.weight") &&
             !weights.has("depformer_emb.3.weight"),
         "expansion: the embedding that exists nowhere is zeros");

  const TemporaryFile out("as it was");
  expect(refused([&] { write_expanded(moshi.path(), moshi.path()); }), "expansion: does not overwrite what it reads");
  write_expanded(moshi.path(), out.path());
  expect(generated_codebooks(Safetensors(out.path())) == 4, "expansion: writes what generates all codebooks");
  const TemporaryFile again("as it was");
  expect(refused([&] { write_expanded(out.path(), again.path()); }) && read_whole(again.path(), 100) == "as it was",
         "expansion: refuses what is expanded already");
  std::vector<Values> shared = small_moshi();
  std::erase_if(shared, [](const Values& one) { return one.name == "depformer_in.1.weight"; });
  const ModelFile schedule(shared);
  expect(refused([&] { write_expanded(schedule.path(), again.path()); }),
         "expansion: refuses codebooks that share weights");
}

// What config and weights mean together.
void check_settle() {
  const auto config = [](int n_q, int dep_q) {
    LmConfig out = LmConfig::published();
    out.audio_codebooks = n_q;
    out.generated_codebooks = dep_q;
    return out;
  };
  LmConfig moshi = config(16, 8);
  expect(!moshi.settle(8, false) && moshi.dialect == Dialect::Moshi && moshi.generated_codebooks == 8,
         "settle: Moshi stays Moshi");
  LmConfig silent = config(16, 8);
  expect(!silent.settle(16, false) && silent.dialect == Dialect::PersonaPlex && silent.generated_codebooks == 16,
         "settle: the weights show PersonaPlex where the config does not");
  LmConfig wished = config(16, 8);
  expect(wished.settle(8, true) && wished.dialect == Dialect::PersonaPlex && wished.own_codebooks() == 8,
         "settle: Moshi becomes PersonaPlex when asked to");
  LmConfig done = config(16, 8);
  expect(!done.settle(16, true) && done.generated_codebooks == 16, "settle: what is expanded is left as it is");
  LmConfig named = LmConfig::parse(Json::parse(R"({"model_type":"personaplex"})", "test"));
  expect(named.settle(8, false) && named.generated_codebooks == 16,
         "settle: a PersonaPlex config expands Moshi's weights, as the reference does");
  for (const int codebooks : {0, 4, 12}) {
    LmConfig other = config(16, 8);
    expect(refused([&] { other.settle(codebooks, true); }), "settle: refuses to expand anything else");
  }
}

}  // namespace

void check_weights() {
  check_writer();
  check_lora();
  check_expansion();
  check_settle();
}

}  // namespace moshi
