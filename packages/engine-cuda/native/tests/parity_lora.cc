// A LoRA adapter added while the weights are read: in both forms of names, against the model without it.
#include <algorithm>

#include "model/generation.h"
#include "tests/parity.h"
#include "tests/parity_tools.h"

namespace moshi {

namespace {

class LoraCase {
 public:
  LoraCase(const Case& one, Backend& backend, Report& report)
      : one_(one),
        backend_(backend),
        report_(report),
        expected_(one.file("expected.safetensors")),
        base_(one.file("model.safetensors")),
        config_(read_config(one.file("config.json"), Dialect::Moshi)) {}

  void run() {
    for (const std::string name : {"lora", "lora_fused_names"}) {
      const std::string path = one_.file(name + ".safetensors");
      if (!one_.has(name + ".safetensors")) continue;
      const Weights weights(base_, backend_, options(path, config_.lora_scale));
      fused(weights, name + ": ");
      model(weights, name + ": ", "fw_text_logits", "fw_dep_logits", "gen_emitted");
      // Nothing of it is nothing at all.
      if (expected_.has("base_text_logits"))
        model(Weights(base_, backend_, options(path, 0)), name + ", scale 0: ", "base_text_logits", "base_dep_logits",
              "gen_emitted_base");
    }
    if (expected_.has("base_text_logits"))
      model(Weights(base_, backend_), "", "base_text_logits", "base_dep_logits", "gen_emitted_base");
  }

 private:
  WeightsOptions options(const std::string& path, float scale) const {
    return {.expand = false, .lora = path, .lora_rank = config_.lora_rank, .lora_scale = scale};
  }

  // `fused.NAME`: the current names of weights that the checkpoint may hold stacked.
  void fused(const Weights& weights, const std::string& label) {
    const std::string prefix = "fused.";
    for (const auto& [name, info] : expected_.tensors()) {
      if (name.compare(0, prefix.size(), prefix) != 0) continue;
      std::string weight = name.substr(prefix.size());
      size_t skip = 0;
      if (const size_t at = weight.find("_projs."); !weights.has(weight) && at != std::string::npos) {
        skip = std::stoul(weight.substr(at + 7)) * static_cast<size_t>(info.count());
        weight = weight.substr(0, at) + "_proj_weight";
        if (!weights.has(weight)) weight.replace(at, std::string::npos, "_proj.weight");
      }
      const Floats all = weights.vector(weight, weights.size(weight, 0) * weights.size(weight, 1));
      const size_t count = static_cast<size_t>(info.count());
      const Floats got(all.begin() + static_cast<std::ptrdiff_t>(std::min(skip, all.size())),
                       all.begin() + static_cast<std::ptrdiff_t>(std::min(skip + count, all.size())));
      report_.close(label + name, got, expected_.floats(name));
    }
  }

  void model(const Weights& weights, const std::string& label, const std::string& text, const std::string& audio,
             const std::string& emitted) {
    const Lm lm(weights, config_);
    const Forward all = step_by_step(lm, expected_);
    if (text == "fw_text_logits") report_.close(label + "fw_hidden", all.hidden, expected_.floats("fw_hidden"));
    report_.close(label + text, all.text_logits, expected_.floats(text));
    report_.close(label + audio, all.audio_logits, expected_.floats(audio));
    if (!expected_.has(emitted)) return;

    SamplingOptions greedy;
    greedy.text = greedy.audio = {0, 0, 0};
    Generation one(lm, greedy);
    const Ints user = expected_.integers("gen_user");
    const size_t rows = static_cast<size_t>(expected_.info("gen_user").shape.at(1)),
                 steps = static_cast<size_t>(expected_.info("gen_user").shape.at(2));
    std::vector<Ints> tokens;
    for (size_t t = 0; t < steps; ++t) {
      std::vector<int32_t> codes(rows), out;
      for (size_t k = 0; k < rows; ++k) codes[k] = static_cast<int32_t>(user[k * steps + t]);
      Generation* conversations[] = {&one};
      const StepInput in[] = {{codes.data()}};
      Generation::step(lm, conversations, in);
      if (one.emitted(out)) tokens.push_back(wide(out));
    }
    report_.same(label + emitted, by_row(tokens, static_cast<size_t>(1 + config_.generated_codebooks)),
                 expected_.integers(emitted));
  }

  const Case& one_;
  Backend& backend_;
  Report& report_;
  Safetensors expected_, base_;
  LmConfig config_;
};

}  // namespace

void check_lora(const Case& one, Backend& backend, Report& report) {
  LoraCase(one, backend, report).run();
}

}  // namespace moshi
