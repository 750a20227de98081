#include "runtime/checkpoint.h"

#include "core/error.h"
#include "files/file.h"

namespace moshi {

namespace {

constexpr uint64_t kMaxConfig = 1 << 20;

LmConfig read_lm_config(const std::string& path) {
  return path.empty() ? LmConfig::published() : LmConfig::parse(Json::parse(read_whole(path, kMaxConfig), path));
}

}  // namespace

std::unique_ptr<Mimi> load_mimi(const std::string& weights, const std::string& config, Backend& backend) {
  const MimiConfig parsed =
      config.empty() ? MimiConfig::published() : MimiConfig::parse(Json::parse(read_whole(config, kMaxConfig), config));
  const Safetensors file(weights);
  return std::make_unique<Mimi>(Weights(file, backend), parsed);
}

Checkpoint::Checkpoint(const CheckpointFiles& files, std::unique_ptr<CpuBackend> owned)
    : backend(std::move(owned)), tokenizer(files.tokenizer) {
  LmConfig config = read_lm_config(files.config);
  mimi = load_mimi(files.mimi, files.mimi_config, *backend);
  const Safetensors file(files.lm);
  const bool expand = config.settle(generated_codebooks(file), files.expand);
  const Weights weights(file, *backend,
                        {.expand = expand,
                         .lora = files.lora,
                         .lora_rank = config.lora_rank,
                         .lora_scale = files.lora_scale.value_or(config.lora_scale)});
  lm = std::make_unique<Lm>(weights, config, true);

  if (config.generated_codebooks == 0)
    throw Error(kBadModel, "this is a speech-to-text model; it listens only and cannot hold a conversation");
  if (mimi->frame_samples() != 1920 || mimi->config().sample_rate != 24000)
    throw Error(kBadModel, "the codec does not run at 24 kHz and 12.5 frames a second, which the protocol fixes");
  const int needed = std::max(config.own_codebooks(), config.user_codebooks());
  if (mimi->quantizer().codebooks() < needed || mimi->quantizer().bins() != config.card)
    throw Error(kBadModel,
                "codec and language model do not belong together: " + std::to_string(mimi->quantizer().codebooks()) +
                    " codebooks of " + std::to_string(mimi->quantizer().bins()) + " where " + std::to_string(needed) +
                    " of " + std::to_string(config.card) + " are needed");
  if (config.text_card_out > config.text_card + 1)
    throw Error(kBadModel, "the model can say " + std::to_string(config.text_card_out) +
                               " text tokens but reads only " + std::to_string(config.text_card + 1));
  if (tokenizer.size() < config.text_card)
    throw Error(kBadModel, "the tokenizer has " + std::to_string(tokenizer.size()) +
                               " pieces, the language model speaks " + std::to_string(config.text_card));
}

}  // namespace moshi
