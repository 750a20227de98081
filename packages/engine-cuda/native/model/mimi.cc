#include "model/mimi.h"

#include <utility>

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
      encoder_(Seanet::encoder(weights, config, encoder_layout_)),
      decoder_(Seanet::decoder(weights, config, decoder_layout_)),
      encoder_transformer_(load_transformer(weights, "encoder_transformer", config)),
      decoder_transformer_(load_transformer(weights, "decoder_transformer", config)),
      quantizer_(weights, config.quantizer) {
  if (config.transformer.context == 0) throw Error(kBadModel, "config: transformer.context is missing");
  if (config.resample() == 1) return;
  downsample_.emplace(weights, "downsample.conv.conv.conv", resample_shape(config, true), encoder_layout_);
  upsample_.emplace(weights, "upsample.convtr.convtr.convtr", resample_shape(config, false), decoder_layout_, true);
}

MimiState Mimi::make_state(const StreamLayout& layout, const Projected& projected, int64_t frames) const {
  const int64_t context = config_.transformer.context;
  MimiState state;
  state.memory = backend_.allocate(static_cast<size_t>(layout.floats()));
  state.transformer =
      projected.transformer.make_state(frames > 0 ? context + frames * config_.resample() - 1 : context, ring_);
  return state;
}

void Mimi::run(const Projected& projected, const Rows& rows, float* x) const {
  const int64_t outer = config_.seanet.dimension, dim = config_.transformer.dim, count = rows.count();
  if (!projected.input && !projected.output) return projected.transformer.forward(x, rows);
  Working memory(backend_);
  float* inner = memory.floats(count * dim);
  backend_.linear(projected.input, x, outer, inner, dim, count, false);
  projected.transformer.forward(inner, rows);
  backend_.linear(projected.output, inner, dim, x, outer, count, false);
}

Mimi::Call Mimi::begin(const Projected& projected, std::span<MimiState* const> states, int64_t frames,
                       Working& memory) const {
  Call call;
  for (MimiState* state : states) {
    call.states.push_back({state->memory.data(), std::exchange(state->fresh, false), 0});
    state->transformer.extend(call.positions, frames * config_.resample(), config_.transformer.context);
  }
  call.streams = {call.states, memory.placed(std::span<const StreamData>(call.states))};
  call.rows = projected.transformer.place(memory, call.positions);
  return call;
}

void Mimi::run(const Call& call, std::initializer_list<const void*> places, int64_t frames, int codebooks,
               const Tap& tap, const std::function<void()>& body) const {
  // What is shown leaves the device, which no program may.
  if (tap) return body();
  // Rings that were made for other calls may be longer.
  const auto ring = static_cast<uint64_t>(call.positions.front().cache->capacity());
  std::vector<uint64_t> key =
      program_key({number_, ring, call.states.size(), static_cast<uint64_t>(frames), static_cast<uint64_t>(codebooks)},
                  places, call.rows);
  key.push_back(reinterpret_cast<uint64_t>(call.streams.data));
  backend_.program(key, body);
}

void Mimi::show(const Tap& tap, const char* name, const float* x, int64_t rows, int64_t channels) const {
  if (!tap) return;
  std::vector<float> host(static_cast<size_t>(rows * channels));
  backend_.read(host.data(), x, rows * channels);
  tap(name, host.data(), rows, channels);
}

void Mimi::encode(std::span<MimiState* const> states, const float* pcm, int64_t frames, int codebooks, int32_t* codes,
                  const Tap& tap) const {
  const int64_t n = static_cast<int64_t>(states.size()), time = frames * frame_samples(),
                dim = config_.seanet.dimension;
  const int64_t rows = frames * config_.resample();
  Working memory(backend_);
  const float* sound = memory.placed(std::span(pcm, static_cast<size_t>(n * time)));
  int32_t* found = memory.ints(n * frames * codebooks);
  const Call call = begin(encoder_transformer_, states, frames, memory);
  run(call, {&encoder_, sound, found}, frames, codebooks, tap, [&] {
    Working inner(backend_);
    float* latent = inner.floats(n * rows * dim);
    encoder_.forward(call.streams, sound, time, 1, latent);
    show(tap, "enc_seanet", latent, n * rows, dim);
    run(encoder_transformer_, call.rows, latent);
    show(tap, "enc_transformer", latent, n * rows, dim);
    float* resampled = latent;
    if (downsample_) {
      resampled = inner.floats(n * frames * dim);
      downsample_->forward(call.streams, latent, rows, resampled);
    }
    show(tap, "enc_latent", resampled, n * frames, dim);
    quantizer_.encode(resampled, n * frames, codebooks, found);
  });
  backend_.read(codes, found, n * frames * codebooks);
}

void Mimi::decode(std::span<MimiState* const> states, const int32_t* codes, int64_t frames, int codebooks, float* pcm,
                  const Tap& tap) const {
  const int64_t n = static_cast<int64_t>(states.size()), time = frames * frame_samples(),
                dim = config_.seanet.dimension;
  const int64_t rows = frames * config_.resample();
  const std::span given(codes, static_cast<size_t>(n * frames * codebooks));
  quantizer_.check(given);
  Working memory(backend_);
  const int32_t* placed = memory.placed(given);
  float* sound = memory.floats(n * time);
  const Call call = begin(decoder_transformer_, states, frames, memory);
  run(call, {&decoder_, placed, sound}, frames, codebooks, tap, [&] {
    Working inner(backend_);
    float* latent = inner.floats(n * frames * dim);
    quantizer_.decode(placed, n * frames, codebooks, latent);
    show(tap, "dec_latent", latent, n * frames, dim);
    float* resampled = latent;
    if (upsample_) {
      resampled = inner.floats(n * rows * dim);
      upsample_->forward(call.streams, latent, frames, resampled);
    }
    show(tap, "dec_upsample", resampled, n * rows, dim);
    run(decoder_transformer_, call.rows, resampled);
    show(tap, "dec_transformer", resampled, n * rows, dim);
    decoder_.forward(call.streams, resampled, rows, dim, sound);
  });
  backend_.read(pcm, sound, n * time);
}

}  // namespace moshi
