// A quantized checkpoint: the values its codes stand for, teacher-forced logits with them, the greedy loop.
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "model/names.h"
#include "tests/parity.h"
#include "tests/parity_tools.h"

namespace moshi {

namespace {

class QuantizedCase {
 public:
  QuantizedCase(const Case& one, Backend& backend, Report& report)
      : backend_(backend),
        report_(report),
        expected_(one.file("expected.safetensors")),
        config_(read_config(one.file("config.json"), Dialect::Moshi)),
        file_(open_weights(one.file(weights_name(one)), config_.depth_schedule)) {}

  void run() {
    const Weights weights(*file_, backend_);
    values(weights);
    const Lm lm(weights, config_);
    const Forward all = step_by_step(lm, expected_);
    if (dynamic_cast<const CudaBackend*>(&backend_)) return against_cpu(lm, all);
    report_.close("fw_hidden", all.hidden, expected_.floats("fw_hidden"));
    report_.close("fw_text_logits", all.text_logits, expected_.floats("fw_text_logits"));
    report_.close("fw_dep_logits", all.audio_logits, expected_.floats("fw_dep_logits"));
    report_.same("gen_emitted", greedy_loop(lm), expected_.integers("gen_emitted"));
  }

 private:
  // A GPU rounds the inputs of quantized layers to 8 bits, as the CPU does in conversations; the reference does not.
  void against_cpu(const Lm& lm, const Forward& all) {
    CpuBackend rounding(1);
    const Lm same(Weights(*file_, rounding), config_);
    const Forward want = step_by_step(same, expected_);
    report_.close("fw_hidden, as on the CPU", all.hidden, want.hidden);
    report_.close("fw_text_logits, as on the CPU", all.text_logits, want.text_logits);
    report_.close("fw_dep_logits, as on the CPU", all.audio_logits, want.audio_logits);
    report_.same("gen_emitted, as on the CPU", greedy_loop(lm), greedy_loop(same));
  }

  static std::string weights_name(const Case& one) {
    const std::string path = one.file("config.json");
    const Json config = Json::parse(read_whole(path, 1 << 20), path);
    const Json* const name = config.find("moshi_name");
    return name ? name->string("moshi_name") : "model.safetensors";
  }

  // `dequant.NAME`: what a weight is run as.
  void values(const Weights& weights) {
    const std::string prefix = "dequant.";
    for (const auto& [name, info] : expected_.tensors())
      if (name.compare(0, prefix.size(), prefix) == 0)
        report_.close(name, weights.vector(name.substr(prefix.size()), info.count()), expected_.floats(name));
  }

  Ints greedy_loop(const Lm& lm) {
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
    return by_row(tokens, static_cast<size_t>(1 + config_.generated_codebooks));
  }

  Backend& backend_;
  Report& report_;
  Safetensors expected_;
  LmConfig config_;
  std::unique_ptr<const TensorFile> file_;
};

}  // namespace

void check_quantized(const Case& one, Backend& backend, Report& report) {
  QuantizedCase(one, backend, report).run();
}

}  // namespace moshi
