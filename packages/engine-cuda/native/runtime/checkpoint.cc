#include "runtime/checkpoint.h"

#include "core/error.h"
#include "files/file.h"
#include "model/convert.h"
#include "model/names.h"

namespace moshi {

namespace {

constexpr uint64_t kMaxConfig = 1 << 20;
constexpr uint64_t kSmall = 1'000'000'000;  // bytes of weights that are run as they are stored
constexpr uint64_t kSmallCodec = 100'000'000;

}  // namespace

LmConfig read_lm_config(const std::string& path) {
  return path.empty() ? LmConfig::published() : LmConfig::parse(Json::parse(read_whole(path, kMaxConfig), path));
}

Precision codec_precision(const std::string& weights) {
  return File(weights).size() < kSmallCodec ? Precision::Stored : kCodecPrecision;
}

std::unique_ptr<Mimi> load_mimi(const std::string& weights, const std::string& config, Backend& backend,
                                Precision precision) {
  const MimiConfig parsed =
      config.empty() ? MimiConfig::published() : MimiConfig::parse(Json::parse(read_whole(config, kMaxConfig), config));
  const Safetensors file(weights);
  return std::make_unique<Mimi>(Weights(file, backend, {.precision = precision}), parsed);
}

LmFile::LmFile(const CheckpointFiles& files)
    : files_(files), config_(read_lm_config(files.config)), file_(open_weights(files.lm, config_.depth_schedule)) {
  expand_ = config_.settle(generated_codebooks(*file_), files.expand);
  int64_t& own = config_.temporal.context;
  if (files.context > own)
    throw Error(kBadOption, "context " + std::to_string(files.context) + " is more than the model's own, " +
                                std::to_string(own) + ": ask for no more");
  if (files.context > 0) own = files.context;
}

bool LmFile::quantized() const {
  for (const auto& [name, info] : file_->tensors())
    if (name.compare(0, 19, "transformer.layers.") == 0 && info.shape.size() == 2 && !is_float(info.type)) return true;
  return false;
}

bool LmFile::large() const {
  return File(files_.lm).size() >= kSmall;
}

Precision LmFile::precision() const {
  if (files_.weights) return *files_.weights;
  return !large() || quantized() ? Precision::Stored : Precision::Q8;
}

KvType LmFile::kv() const {
  if (files_.kv) return *files_.kv;
  return large() ? KvType::F16 : KvType::F32;
}

std::string LmFile::cached(Backend& backend) const {
  const Precision chosen = precision();
  const bool rounds = chosen == Precision::Q8 || chosen == Precision::Mixed || chosen == Precision::Q4;
  if (!rounds || !files_.lora.empty() || quantized()) return {};
  return cached_weights(files_.lm, config_.depth_schedule, chosen, files_.cache, backend);
}

std::unique_ptr<Lm> LmFile::load(Backend& backend, bool live) const {
  const std::string path = cached(backend);
  const std::unique_ptr<const TensorFile> cached = path.empty() ? nullptr : open_weights(path);
  const Weights weights(cached ? *cached : *file_, backend,
                        {.expand = expand_,
                         .lora = files_.lora,
                         .lora_rank = config_.lora_rank,
                         .lora_scale = files_.lora_scale.value_or(config_.lora_scale),
                         .precision = precision()});
  return std::make_unique<Lm>(weights, config_, live, kv());
}

Checkpoint::Checkpoint(const CheckpointFiles& files, std::unique_ptr<Backend> owned)
    : backend(std::move(owned)), tokenizer(files.tokenizer) {
  mimi = load_mimi(files.mimi, files.mimi_config, *backend, codec_precision(files.mimi));
  const LmFile file(files);
  const LmConfig& config = file.config();
  lm = file.load(*backend, true);
  precision = file.precision();

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
