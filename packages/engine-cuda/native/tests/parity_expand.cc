// A Moshi checkpoint loaded as PersonaPlex and written out as one, against what the fork's loader makes of it.
#include <cstdio>
#include <filesystem>
#include <random>

#include "core/error.h"
#include "tests/parity.h"
#include "tests/parity_tools.h"

namespace moshi {

namespace {

class ExpandCase {
 public:
  ExpandCase(const Case& one, Backend& backend, Report& report)
      : one_(one),
        backend_(backend),
        report_(report),
        expected_(one.file("expected.safetensors")),
        whole_(one.file("dep_q16.safetensors")),
        half_(generated_codebooks(whole_) / 2) {}

  void run() {
    forward("dep_q16", "config_dep_q16.json", false);
    // A config that still speaks of Moshi does not matter, as it does not to the fork.
    forward("dep_q16", "config_dep_q8.json", false);
    // As a repository has it: Moshi's config and weights, and the wish to run them as PersonaPlex.
    forward("dep_q8_with_emb7", "config_dep_q8.json", true);
    forward("dep_q8_with_emb7", "config_dep_q16.json", false);
    written();
    without_embedding();
    live();
  }

 private:
  LmConfig config(const Safetensors& file, const std::string& leaf, bool& expand) const {
    LmConfig config = LmConfig::parse(Json::parse(read_whole(one_.file(leaf), 1 << 20), leaf));
    expand = config.settle(generated_codebooks(file), expand);
    return config;
  }

  void forward(const std::string& name, const std::string& config_name, bool expand) {
    if (!one_.has(name + ".safetensors") || !one_.has(config_name)) return;
    const std::string label = name + " as " + config_name + ": ";
    const Safetensors file(one_.file(name + ".safetensors"));
    const LmConfig config = this->config(file, config_name, expand);
    if (config.dialect != Dialect::PersonaPlex)
      return report_.failed(label + "dialect", "was not taken for PersonaPlex");
    const Lm lm(Weights(file, backend_, {.expand = expand, .lora = "", .lora_rank = 0, .lora_scale = 0}), config);
    const Forward all = one_shot(lm, expected_, "codes");
    compare_masked(report_, label + "text_logits", all.text_logits, expected_.floats("text_logits"));
    compare_masked(report_, label + "logits", all.audio_logits, expected_.floats("logits"));
  }

  // A file made by us must be the reference's, byte by byte.
  void written() {
    if (!one_.has("dep_q8_with_emb7.safetensors")) return;
    const Written made(one_.file("dep_q8_with_emb7.safetensors"));
    const std::string want = read_whole(whole_.path(), 1 << 30), got = read_whole(made.path, 1 << 30);
    size_t at = 0;
    while (at < std::min(want.size(), got.size()) && want[at] == got[at]) ++at;
    const bool same = want == got;
    report_.same_text("written dep_q16", same ? 0 : 1, static_cast<int64_t>(want.size()),
                      same ? "" : "byte " + std::to_string(at));
  }

  // Nothing but the embedding the fork has no value for may differ: ours is zeros.
  void without_embedding() {
    if (!one_.has("dep_q8.safetensors")) return;
    const Written made(one_.file("dep_q8.safetensors"));
    const Safetensors file(made.path);
    const std::string missing = "depformer_emb." + std::to_string(half_ - 1) + ".weight";
    int64_t differing = 0;
    std::string first;
    for (const auto& [name, info] : whole_.tensors()) {
      const Floats zeros(static_cast<size_t>(info.count()));
      const bool same = file.has(name) && file.info(name).shape == info.shape &&
                        file.floats(name) == (name == missing ? zeros : whole_.floats(name));
      if (!same && differing++ == 0) first = name;
    }
    if (file.tensors().size() != whole_.tensors().size()) ++differing;
    report_.same_text("written without emb.7", differing, static_cast<int64_t>(whole_.tensors().size()), first);
    bool expand = true;
    const LmConfig config = this->config(file, "config_dep_q8.json", expand);
    const Forward all = one_shot(Lm(Weights(file, backend_), config), expected_, "codes");
    compare_masked(report_, "dep_q8: text_logits", all.text_logits, expected_.floats("text_logits"));
    compare_masked(report_, "dep_q8: own logits", heads(all.audio_logits), heads(expected_.floats("logits")));
  }

  // In a conversation the user's codebooks are given, so what would draw them is left out.
  void live() {
    bool expand = false;
    const LmConfig config = this->config(whole_, "config_dep_q8.json", expand);
    const Lm lm(Weights(whole_, backend_), config, true);
    const Forward all = one_shot(lm, expected_, "codes");
    compare_masked(report_, "live: own logits", all.audio_logits, heads(expected_.floats("logits")));
    try {
      int32_t token = 0;
      TransformerState state = lm.make_depth();
      std::vector<Row> rows;
      state.extend(rows, 1, 0);
      Floats logits(static_cast<size_t>(config.card));
      lm.depth(config.own_codebooks(), &token, all.hidden.data(), rows, logits.data());
      report_.failed("live: the user's codebooks", "were drawn though they are left out");
    } catch (const Error&) {
      report_.same_text("live: the user's codebooks", 0, 1, "");
    }
  }

  // The model's own half of [codebooks, steps, card].
  static Floats heads(const Floats& logits) {
    return {logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(logits.size() / 2)};
  }

  struct Written {
    explicit Written(const std::string& from)
        : path((std::filesystem::temp_directory_path() / ("moshi-expand-" + std::to_string(std::random_device{}())))
                   .string()) {
      write_expanded(from, path);
    }
    ~Written() { std::remove(path.c_str()); }
    std::string path;
  };

  const Case& one_;
  Backend& backend_;
  Report& report_;
  Safetensors expected_, whole_;
  int half_;
};

}  // namespace

void check_expand(const Case& one, Backend& backend, Report& report) {
  ExpandCase(one, backend, report).run();
}

}  // namespace moshi
