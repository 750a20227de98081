#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"

namespace moshi {

namespace {

// Limits far above any real model, so that a hostile config cannot make sizes overflow.
constexpr int64_t kMaxSize = 1 << 20;
constexpr int kMaxDelay = 4096;

// One JSON object with its place in the document, for errors that say which key is wrong.
class Section {
 public:
  Section(const Json& json, std::string place) : json_(json), place_(std::move(place)) {
    if (!json.is_object()) throw Error(kBadModel, "config: " + place_ + " must be an object");
  }
  bool has(const std::string& key) const { return json_.find(key) != nullptr; }
  const Json& get(const std::string& key) const {
    const Json* value = json_.find(key);
    if (!value) throw Error(kBadModel, "config: " + name(key) + " is missing");
    return *value;
  }
  Section section(const std::string& key) const { return {get(key), name(key)}; }
  int64_t whole(const std::string& key, int64_t min = 1) const {
    const int64_t value = get(key).integer("config: " + name(key));
    if (value < min || value > kMaxSize)
      throw Error(kBadModel, "config: " + name(key) + " is " + std::to_string(value) + ", outside " +
                                 std::to_string(min) + " to " + std::to_string(kMaxSize));
    return value;
  }
  int64_t whole_or(const std::string& key, int64_t fallback, int64_t min = 1) const {
    return has(key) ? whole(key, min) : fallback;
  }
  int count(const std::string& key, int64_t min = 1) const { return static_cast<int>(whole(key, min)); }
  int count_or(const std::string& key, int fallback, int64_t min = 1) const {
    return has(key) ? count(key, min) : fallback;
  }
  double real(const std::string& key) const { return get(key).number("config: " + name(key)); }
  double real_or(const std::string& key, double fallback) const { return has(key) ? real(key) : fallback; }
  bool flag_or(const std::string& key, bool fallback) const {
    return has(key) ? get(key).boolean("config: " + name(key)) : fallback;
  }
  std::string text_or(const std::string& key, const std::string& fallback) const {
    return has(key) ? get(key).string("config: " + name(key)) : fallback;
  }
  std::vector<int> counts(const std::string& key, int64_t min) const {
    std::vector<int> out;
    if (!get(key).is_array()) throw Error(kBadModel, "config: " + name(key) + " must be a list");
    for (const Json& item : get(key).items()) {
      const int64_t value = item.integer("config: " + name(key));
      if (value < min || value > kMaxSize) throw Error(kBadModel, "config: " + name(key) + " is out of range");
      out.push_back(static_cast<int>(value));
    }
    return out;
  }
  // A key that is absent, null, false or an empty object asks for nothing.
  void refuse(const std::string& key, const std::string& why) const {
    const Json* value = json_.find(key);
    const bool off = value && value->kind() == Json::Kind::Bool && !value->boolean(key);
    if (value && !off && !(value->is_object() && value->members().empty()))
      throw Error(kBadModel, "config: " + name(key) + ": " + why);
  }
  std::string name(const std::string& key) const { return place_.empty() ? key : place_ + "." + key; }

 private:
  const Json& json_;
  std::string place_;
};

void check(const TransformerConfig& config, const std::string& place) {
  if (config.dim % config.heads != 0)
    throw Error(kBadModel, "config: " + place + ": " + std::to_string(config.dim) + " is not a multiple of " +
                               std::to_string(config.heads) + " heads");
  if (config.heads % config.kv_repeat != 0)
    throw Error(kBadModel, "config: " + place + ": heads are not a multiple of kv_repeat");
  static const std::set<std::string> kPositions = {"none", "sin", "rope", "sin_rope", "rope_concat"};
  if (!kPositions.count(config.positions))
    throw Error(kBadModel, "config: " + place + ": unknown positional embedding '" + config.positions + "'");
  if (config.positions.find("rope") != std::string::npos && config.dim / config.heads % 2 != 0)
    throw Error(kBadModel, "config: " + place + ": rotary positions need an even head size");
  if (config.gating != "none") parse_activation(config.gating);
}

}  // namespace

Activation parse_activation(const std::string& name) {
  // Functions and module classes of the reference's framework, which differ in capitals only.
  std::string lower;
  for (const char c : name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower == "elu") return Activation::Elu;
  if (lower == "gelu") return Activation::Gelu;
  if (lower == "silu") return Activation::Silu;
  if (lower == "relu") return Activation::Relu;
  if (lower == "sigmoid") return Activation::Sigmoid;
  if (lower == "tanh") return Activation::Tanh;
  if (lower == "identity") return Activation::Identity;
  throw Error(kBadModel, "config: unknown activation '" + name + "'");
}

int64_t MimiConfig::hop() const {
  int64_t hop = 1;
  for (const int ratio : seanet.ratios) hop *= ratio;
  return hop;
}

int64_t MimiConfig::frame_samples() const {
  return static_cast<int64_t>(std::lround(sample_rate / frame_rate));
}

int MimiConfig::resample() const {
  return static_cast<int>(frame_samples() / hop());
}

MimiConfig MimiConfig::published() {
  MimiConfig config;
  config.transformer = {.dim = 512, .heads = 8, .layers = 8, .context = 250, .positions = "rope", .layer_scale = true};
  return config;
}

MimiConfig MimiConfig::parse(const Json& json) {
  const Section top(json, "");
  MimiConfig config;
  config.sample_rate = top.count_or("sample_rate", 24000);
  config.frame_rate = top.real_or("frame_rate", 12.5);
  if (!(config.frame_rate > 0)) throw Error(kBadModel, "config: frame_rate must be positive");

  const Section sea = top.section("seanet");
  auto& seanet = config.seanet;
  seanet.channels = sea.whole_or("channels", 1);
  seanet.dimension = sea.whole_or("dimension", 128);
  seanet.filters = sea.whole_or("n_filters", 32);
  seanet.residual_layers = sea.count_or("n_residual_layers", 3, 0);
  seanet.compress = sea.count_or("compress", 2);
  seanet.dilation_base = sea.count_or("dilation_base", 2);
  seanet.kernel = sea.count_or("kernel_size", 7);
  seanet.residual_kernel = sea.count_or("residual_kernel_size", 3);
  seanet.last_kernel = sea.count_or("last_kernel_size", 7);
  seanet.true_skip = sea.flag_or("true_skip", true);
  seanet.activation = parse_activation(sea.text_or("activation", "ELU"));
  if (sea.has("activation_params"))
    seanet.alpha = static_cast<float>(sea.section("activation_params").real_or("alpha", 1));
  seanet.ratios = sea.counts("ratios", 1);
  if (sea.text_or("norm", "none") != "none")
    throw Error(kBadModel, "config: seanet.norm must be 'none': fuse weight norm into the weights first");
  if (sea.text_or("pad_mode", "constant") != "constant")
    throw Error(kBadModel, "config: seanet.pad_mode must be 'constant' for a causal codec");
  if (!sea.flag_or("causal", true)) throw Error(kBadModel, "config: only causal codecs can run live");
  if (seanet.channels != 1 || top.count_or("channels", 1) != 1)
    throw Error(kBadModel, "config: only mono codecs are supported");
  if (seanet.compress > seanet.filters) throw Error(kBadModel, "config: seanet.compress leaves no channels");
  if (seanet.ratios.empty() || seanet.ratios.size() > 16)
    throw Error(kBadModel, "config: seanet.ratios is out of range");

  const Section rvq = top.section("quantizer");
  config.quantizer = {.dimension = rvq.whole("dimension"),
                      .bins = rvq.whole("bins"),
                      .input = rvq.whole_or("input_dimension", rvq.whole("dimension")),
                      .output = rvq.whole_or("output_dimension", rvq.whole("dimension")),
                      .codebooks = rvq.count("n_q"),
                      .semantic = rvq.count_or("n_q_semantic", 1)};
  if (config.quantizer.semantic > config.quantizer.codebooks)
    throw Error(kBadModel, "config: quantizer.n_q_semantic is more than quantizer.n_q");

  const Section tr = top.section("transformer");
  config.transformer = {.dim = tr.whole("d_model"),
                        .heads = tr.count("num_heads"),
                        .layers = tr.count("num_layers"),
                        .kv_repeat = tr.count_or("kv_repeat", 1),
                        .context = tr.whole_or("context", 0, 0),
                        .max_period = static_cast<float>(tr.real_or("max_period", 10000)),
                        .norm = tr.text_or("norm", "layer_norm"),
                        .gating = tr.text_or("gating", "none"),
                        .positions = tr.text_or("positional_embedding", "sin"),
                        .positional_scale = static_cast<float>(tr.real_or("positional_scale", 1)),
                        .layer_scale = tr.has("layer_scale")};
  config.transformer_input = tr.whole_or("input_dimension", config.transformer.dim);
  config.transformer_output =
      tr.has("output_dimensions") ? tr.counts("output_dimensions", 1).at(0) : config.transformer.dim;
  if (!tr.flag_or("causal", true)) throw Error(kBadModel, "config: only causal codecs can run live");
  check(config.transformer, "transformer");

  // Checked as they are multiplied: products of hostile sizes must not wrap around.
  int64_t hop = 1, channels = seanet.filters, dilation = 1;
  for (const int ratio : seanet.ratios) {
    hop *= ratio;
    channels *= 2;
    if (hop > kMaxSize || channels > kMaxSize)
      throw Error(kBadModel, "config: seanet.ratios and seanet.n_filters make a codec of impossible size");
  }
  for (int j = 1; j < seanet.residual_layers; ++j)
    if ((dilation *= seanet.dilation_base) > kMaxSize)
      throw Error(kBadModel, "config: seanet.dilation_base and seanet.n_residual_layers make an impossible dilation");
  if (!(config.sample_rate / config.frame_rate <= kMaxSize))
    throw Error(kBadModel, "config: frame_rate is too small for the sample rate");

  if (config.frame_samples() < 1 || config.frame_samples() % config.hop() != 0)
    throw Error(kBadModel, "config: a frame of " + std::to_string(config.frame_samples()) +
                               " samples is no multiple of the codec's hop of " + std::to_string(config.hop()));
  if (seanet.dimension != config.transformer_input || config.transformer_output != seanet.dimension ||
      config.quantizer.input != seanet.dimension || config.quantizer.output != seanet.dimension)
    throw Error(kBadModel, "config: the dimensions of seanet, transformer and quantizer do not match");
  return config;
}

int LmConfig::max_delay() const {
  return *std::max_element(delays.begin(), delays.end());
}

int LmConfig::depth_weights(int codebooks) const {
  if (!depth_weights_per_step) return 1;
  if (depth_schedule.empty()) return codebooks;
  return *std::max_element(depth_schedule.begin(), depth_schedule.begin() + codebooks) + 1;
}

int LmConfig::depth_weight_index(int codebook) const {
  if (!depth_weights_per_step) return 0;
  return depth_schedule.empty() ? codebook : depth_schedule[static_cast<size_t>(codebook)];
}

LmConfig LmConfig::published() {
  LmConfig config;
  config.temporal = {.dim = 4096,
                     .heads = 32,
                     .layers = 32,
                     .context = 3000,
                     .norm = "rms_norm_f32",
                     .gating = "silu",
                     .positions = "rope"};
  config.depth = {.dim = 1024, .heads = 16, .layers = 6, .norm = "rms_norm_f32", .gating = "silu", .positions = "none"};
  config.audio_codebooks = 16;
  config.generated_codebooks = 8;
  config.card = 2048;
  config.text_card = config.text_card_out = 32000;
  config.delays = {0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1};
  config.depth_multi_linear = config.depth_weights_per_step = true;
  return config;
}

LmConfig LmConfig::parse(const Json& json) {
  const Section top(json, "");
  const std::string type = top.text_or("model_type", "");
  if (type == "personaplex" && !top.has("dim")) {
    // The published PersonaPlex repository names the type only; its sizes are Moshi's with sixteen generated codebooks.
    LmConfig config = published();
    config.dialect = Dialect::PersonaPlex;
    config.generated_codebooks = config.audio_codebooks;
    return config;
  }
  top.refuse("conditioners",
             "conditioned models (speech synthesis) cannot be run yet; use a Moshi or speech-to-text model");
  top.refuse("cross_attention", "models with cross attention cannot be run yet");
  top.refuse("demux_second_text_stream", "models with two text streams in one cannot be run yet");
  top.refuse("demux_second_stream", "models with two text streams in one cannot be run yet");
  LmConfig config;
  config.temporal = {.dim = top.whole("dim"),
                     .heads = top.count("num_heads"),
                     .layers = top.count("num_layers"),
                     .kv_repeat = top.count_or("kv_repeat", 1),
                     .context = top.whole_or("context", 0),
                     .max_period = static_cast<float>(top.real_or("max_period", 10000)),
                     .norm = top.text_or("norm", "layer_norm"),
                     .gating = top.text_or("gating", "none"),
                     .positions = top.text_or("positional_embedding", "sin"),
                     .positional_scale = static_cast<float>(top.real_or("positional_scale", 1)),
                     .layer_scale = top.has("layer_scale")};
  if (config.temporal.context == 0)
    throw Error(kBadModel, "config: context is missing: a conversation needs a limit on its memory");
  check(config.temporal, "the temporal transformer");
  config.audio_codebooks = top.count("n_q");
  config.generated_codebooks = top.count("dep_q", 0);
  if (config.generated_codebooks > config.audio_codebooks) throw Error(kBadModel, "config: dep_q is more than n_q");
  if (type == "personaplex" && config.audio_codebooks % 2 != 0)
    throw Error(kBadModel, "config: a PersonaPlex model has as many codebooks for the user as of its own; n_q is odd");
  // Its loader takes dep_q for n_q whatever the config says.
  if (type == "personaplex") config.generated_codebooks = config.audio_codebooks;
  // Only PersonaPlex generates every audio codebook although half of them are the user's.
  if (config.generated_codebooks == config.audio_codebooks && config.audio_codebooks % 2 == 0)
    config.dialect = Dialect::PersonaPlex;
  config.card = top.whole("card");
  config.text_card = top.whole("text_card");
  config.text_card_out = top.whole_or("text_card_out", config.text_card);
  config.text_padding = top.count_or("existing_text_padding_id", 3, 0);
  config.text_end_padding = top.count_or("existing_text_end_padding_id", 0, 0);
  config.delays = top.counts("delays", 0);
  if (!config.delays.empty() && *std::max_element(config.delays.begin(), config.delays.end()) > kMaxDelay)
    throw Error(kBadModel, "config: a delay is longer than " + std::to_string(kMaxDelay) + " steps");
  if (static_cast<int>(config.delays.size()) != config.streams())
    throw Error(kBadModel, "config: delays has " + std::to_string(config.delays.size()) + " entries, " +
                               std::to_string(config.streams()) + " streams need one each");
  config.norm_embeddings = top.flag_or("norm_emb", false);
  config.bias_projections = top.flag_or("bias_proj", false);
  config.extra_heads = top.count_or("extra_heads_num_heads", 0, 0);
  config.extra_heads_dim = top.whole_or("extra_heads_dim", 6);

  if (config.generated_codebooks > 0) {
    config.depth = config.temporal;
    config.depth.dim = top.whole("depformer_dim");
    config.depth.heads = top.count("depformer_num_heads");
    config.depth.layers = top.count_or("depformer_num_layers", config.temporal.layers);
    config.depth.kv_repeat = top.count_or("depformer_kv_repeat", config.temporal.kv_repeat);
    config.depth.context = 0;
    config.depth.max_period = static_cast<float>(top.real_or("depformer_max_period", config.temporal.max_period));
    config.depth.gating = top.text_or("depformer_gating", config.temporal.gating);
    config.depth.positions = top.text_or("depformer_pos_emb", "sin");
    config.depth.positional_scale =
        static_cast<float>(top.real_or("depformer_positional_scale", config.temporal.positional_scale));
    // A key that is present but null overrides the temporal transformer's value with "off".
    if (json.members().count("depformer_layer_scale")) config.depth.layer_scale = top.has("depformer_layer_scale");
    check(config.depth, "the depth transformer");
    config.depth_multi_linear = top.flag_or("depformer_multi_linear", false);
    config.depth_weights_per_step = top.flag_or("depformer_weights_per_step", false);
    config.depth_low_rank = top.whole_or("depformer_low_rank_embeddings", 0);
    config.depth_norm = top.text_or("depformer_norm", "");
    if (top.has("depformer_weights_per_step_schedule")) {
      config.depth_schedule = top.counts("depformer_weights_per_step_schedule", 0);
      if (static_cast<int>(config.depth_schedule.size()) != config.generated_codebooks)
        throw Error(kBadModel,
                    "config: depformer_weights_per_step_schedule needs one entry for each of dep_q codebooks");
      for (const int index : config.depth_schedule)
        if (index >= config.generated_codebooks)
          throw Error(kBadModel, "config: depformer_weights_per_step_schedule names weights that cannot exist");
    }
  }
  config.lora_rank = top.whole_or("lora_rank", 0);
  config.lora_scale = static_cast<float>(top.real_or("lora_scaling", config.lora_scale));
  if (top.has("lm_gen_config")) {
    const Section gen = top.section("lm_gen_config");
    config.temperature = static_cast<float>(gen.real_or("temp", config.temperature));
    config.text_temperature = static_cast<float>(gen.real_or("temp_text", config.text_temperature));
    config.top_k = gen.count_or("top_k", config.top_k, 0);
    config.text_top_k = gen.count_or("top_k_text", config.text_top_k, 0);
  }
  return config;
}

bool LmConfig::settle(int codebooks, bool expand) {
  const bool pairs = audio_codebooks % 2 == 0, half = pairs && codebooks == audio_codebooks / 2;
  if (codebooks > 0 && pairs && codebooks == audio_codebooks && depth_schedule.empty())
    dialect = Dialect::PersonaPlex;
  else if (expand && !(half && depth_schedule.empty()))
    throw Error(kBadModel, "these weights generate " + std::to_string(codebooks) + " of " +
                               std::to_string(audio_codebooks) +
                               " codebooks; only Moshi's, which generate half of them, can be expanded to PersonaPlex");
  if (expand) dialect = Dialect::PersonaPlex;
  if (dialect == Dialect::Moshi) return false;
  generated_codebooks = audio_codebooks;
  return half;
}

}  // namespace moshi
