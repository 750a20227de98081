#include "model/mimi.h"

#include "core/error.h"
#include "model/workspace.h"

namespace moshi {

namespace {

// The published names repeat the wrapper classes: downsample.conv.conv.conv.weight.
ConvShape resample_shape(const MimiConfig& config, bool replicate) {
  const int stride = config.resample();
  return {.in = config.seanet.dimension,
          .out = config.seanet.dimension,
          .kernel = 2 * stride,
          .stride = stride,
          .bias = false,
          .replicate = replicate};
}

}  // namespace

void MimiState::reset() {
  for (ConvState& conv : seanet) conv.reset();
  transformer.reset();
  resample.reset();
}

Mimi::Projected Mimi::load_transformer(const Weights& weights, const std::string& prefix, const MimiConfig& config) {
  Projected out{Transformer(weights, prefix + ".transformer", config.transformer), {}, {}};
  const int64_t dim = config.transformer.dim;
  if (dim != config.transformer_input)
    out.input = weights.matrix(prefix + ".input_proj.weight", dim, config.transformer_input);
  if (dim != config.transformer_output)
    out.output = weights.matrix(prefix + ".output_projs.0.weight", config.transformer_output, dim);
  return out;
}

Mimi::Mimi(const Weights& weights, const MimiConfig& config)
    : backend_(weights.backend()),
      config_(config),
      ring_(weights.precision() == Precision::F16 ? KvType::F16 : KvType::F32),
      encoder_(Seanet::encoder(weights, config)),
      decoder_(Seanet::decoder(weights, config)),
      encoder_transformer_(load_transformer(weights, "encoder_transformer", config)),
      decoder_transformer_(load_transformer(weights, "decoder_transformer", config)),
      quantizer_(weights, config.quantizer) {
  if (config.transformer.context == 0) throw Error(kBadModel, "config: transformer.context is missing");
  if (config.resample() == 1) return;
  downsample_.emplace(weights, "downsample.conv.conv.conv", resample_shape(config, true));
  upsample_.emplace(weights, "upsample.convtr.convtr.convtr", resample_shape(config, false), true);
}

MimiState Mimi::make_state(const Seanet& seanet, const Projected& projected, ConvState resample, int64_t frames) const {
  const int64_t context = config_.transformer.context;
  const int64_t capacity = frames > 0 ? context + frames * config_.resample() - 1 : context;
  return {seanet.make_state(), projected.transformer.make_state(capacity, ring_), std::move(resample)};
}

void Mimi::run(const Projected& projected, TransformerState& state, float* x, int64_t count) const {
  const int64_t outer = config_.seanet.dimension, dim = config_.transformer.dim;
  std::vector<Row> rows;
  state.extend(rows, count, config_.transformer.context);
  if (!projected.input && !projected.output) return projected.transformer.forward(x, rows);
  Working memory(backend_);
  float* inner = memory.floats(count * dim);
  backend_.linear(projected.input, x, outer, inner, dim, count, false);
  projected.transformer.forward(inner, rows);
  backend_.linear(projected.output, inner, dim, x, outer, count, false);
}

void Mimi::encode(MimiState& state, const float* pcm, int64_t frames, int codebooks, int32_t* codes,
                  const Tap& tap) const {
  const int64_t dim = config_.seanet.dimension, rows = frames * config_.resample();
  Working memory(backend_);
  float* latent = memory.floats(rows * dim);
  encoder_.forward(state.seanet, pcm, frames * frame_samples(), 1, latent);
  if (tap) tap("enc_seanet", latent, rows, dim);
  run(encoder_transformer_, state.transformer, latent, rows);
  if (tap) tap("enc_transformer", latent, rows, dim);
  float* resampled = memory.floats(frames * dim);
  if (downsample_)
    downsample_->forward(state.resample, latent, rows, resampled);
  else
    backend_.copy(resampled, latent, static_cast<size_t>(rows * dim));
  if (tap) tap("enc_latent", resampled, frames, dim);
  quantizer_.encode(resampled, frames, codebooks, codes);
}

void Mimi::decode(MimiState& state, const int32_t* codes, int64_t frames, int codebooks, float* pcm,
                  const Tap& tap) const {
  const int64_t dim = config_.seanet.dimension, rows = frames * config_.resample();
  Working memory(backend_);
  float* latent = memory.floats(frames * dim);
  quantizer_.decode(codes, frames, codebooks, latent);
  if (tap) tap("dec_latent", latent, frames, dim);
  float* resampled = memory.floats(rows * dim);
  if (upsample_)
    upsample_->forward(state.resample, latent, frames, resampled);
  else
    backend_.copy(resampled, latent, static_cast<size_t>(rows * dim));
  if (tap) tap("dec_upsample", resampled, rows, dim);
  run(decoder_transformer_, state.transformer, resampled, rows);
  if (tap) tap("dec_transformer", resampled, rows, dim);
  decoder_.forward(state.seanet, resampled, rows, dim, pcm);
}

}  // namespace moshi
