// The published config.json forms, read into plain structs. Nothing about a model's size is known anywhere else.
#pragma once

#include <string>
#include <vector>

#include "files/json.h"
#include "model/backend.h"

namespace moshi {

struct TransformerConfig {
  int64_t dim = 0;
  int heads = 0, layers = 0;
  int kv_repeat = 1;
  int64_t context = 0;  // positions a query may see; 0 means no limit
  float max_period = 10000;
  std::string norm = "layer_norm";
  std::string gating = "none";  // "none" = linear, gelu, linear
  std::string positions = "sin";
  float positional_scale = 1;  // of sinusoidal positions
  bool layer_scale = false;
};

struct MimiConfig {
  int sample_rate = 24000;
  double frame_rate = 12.5;
  struct Seanet {
    int64_t channels = 1, dimension = 512, filters = 64;
    int residual_layers = 1, compress = 2, dilation_base = 2;
    int kernel = 7, residual_kernel = 3, last_kernel = 3;
    bool true_skip = true;
    Activation activation = Activation::Elu;
    float alpha = 1;                         // of ELU
    std::vector<int> ratios = {8, 6, 5, 4};  // decoder order
  } seanet;
  struct Quantizer {
    int64_t dimension = 256, bins = 2048, input = 512, output = 512;
    int codebooks = 32, semantic = 1;
  } quantizer;
  TransformerConfig transformer;
  int64_t transformer_input = 512, transformer_output = 512;

  int64_t hop() const;            // samples one SEANet latent stands for
  int64_t frame_samples() const;  // samples one frame of codes stands for
  int resample() const;           // latents per frame

  // The codec every published repository ships with.
  static MimiConfig published();
  static MimiConfig parse(const Json& json);
};

// How a family of checkpoints runs its loop; the weights decide it.
enum class Dialect : uint8_t {
  Moshi,        // the user's codes are input only
  PersonaPlex,  // the model predicts the user's stream too, and what was really heard replaces it
};

struct LmConfig {
  Dialect dialect = Dialect::Moshi;
  TransformerConfig temporal, depth;
  int audio_codebooks = 0;      // n_q: own and user codebooks together
  int generated_codebooks = 0;  // dep_q
  int64_t card = 0, text_card = 0, text_card_out = 0;
  int text_padding = 3, text_end_padding = 0;
  std::vector<int> delays;  // text first, then every audio codebook
  bool depth_multi_linear = false, depth_weights_per_step = false;
  std::vector<int> depth_schedule;  // codebook → weight index; empty means its own
  int64_t depth_low_rank = 0;
  std::string depth_norm;  // empty = none
  bool norm_embeddings = false, bias_projections = false;
  int extra_heads = 0;
  int64_t extra_heads_dim = 0;

  int streams() const { return audio_codebooks + 1; }
  // Codebooks of the model's own voice, which are decoded to sound.
  int own_codebooks() const { return dialect == Dialect::PersonaPlex ? audio_codebooks / 2 : generated_codebooks; }
  int user_codebooks() const { return audio_codebooks - own_codebooks(); }
  int max_delay() const;
  int depth_weights(int codebooks) const;      // how many sets of depth weights the first so many codebooks use
  int depth_weight_index(int codebook) const;  // which of them a codebook uses

  // A LoRA adapter's rank (0: whatever it has) and scale, should one come with the checkpoint.
  int64_t lora_rank = 0;
  float lora_scale = 2;

  // What config and weights mean together, given how many codebooks the weights can generate: published configs may
  // speak of Moshi where the weights are PersonaPlex's. True when the weights must be expanded to be run as
  // PersonaPlex, which Moshi's are when the config, or `expand`, asks for it. Throws Error when they do not belong
  // together.
  bool settle(int codebooks, bool expand);

  // Sampling the checkpoint asks for (lm_gen_config).
  float temperature = 0.8f, text_temperature = 0.7f;
  int top_k = 250, text_top_k = 25;

  // The Moshi 7B of repositories that carry no config.json.
  static LmConfig published();
  static LmConfig parse(const Json& json);
};

Activation parse_activation(const std::string& name);

}  // namespace moshi
