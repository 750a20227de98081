// The bench's models, and the codec alone.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/memory.h"
#include "files/file.h"
#include "model/names.h"
#include "runtime/bench.h"
#include "runtime/bench_parts.h"
#include "runtime/plain_reader.h"

namespace moshi {

namespace {

constexpr uint64_t kSlack = uint64_t{256} << 20;  // what a load may take beyond its packed weights and one tensor
uint64_t kv_bytes(const LmConfig& config, KvType type, int64_t positions) {
  const TransformerConfig& temporal = config.temporal;
  const KvCache ring(type, temporal.layers, temporal.context, temporal.heads / temporal.kv_repeat,
                     temporal.dim / temporal.heads);
  const int64_t rows = std::min(positions, ring.capacity());
  return static_cast<uint64_t>((rows + ring.page() - 1) / ring.page()) * ring.page_bytes();
}

// Of files, where the weights a conversation leaves out are counted too.
PackedSize packed_size(const TensorFile& file, Precision precision) {
  PackedSize out;
  for (const auto& [name, info] : file.tensors()) {
    uint64_t bytes = info.bytes;
    if (info.shape.size() == 2) {
      const DType type = packed_type(precision, name, info.type, info.shape[1]);
      bytes = static_cast<uint64_t>(info.shape[0]) *
              static_cast<uint64_t>(stored_bytes(type, (info.shape[1] + 255) / 256 * 256));
    }
    out.all += bytes;
    out.largest = std::max(out.largest, bytes);
  }
  return out;
}

std::string gigabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

void check_memory(const std::string& name, const PackedSize& size, uint64_t kv, Precision precision) {
  const uint64_t needed = size.all + 2 * size.largest + kv + kSlack, available = available_memory();
  if (needed > available)
    throw Error(kBadOption, name + " needs " + gigabytes(needed) + " as " + precision_name(precision) + ", " +
                                gigabytes(kv) + " of it for the memory of conversations, and " + gigabytes(available) +
                                " are available; ask for lighter weights (q8, q4), kv q8, fewer sessions or a smaller "
                                "position");
}

}  // namespace

LoadTimes Bench::load(const BenchModel& model, int conversations, int64_t position) {
  unload();
  const CheckpointFiles& files = model.files;
  LoadTimes out;
  std::optional<LmConfig> config;
  std::unique_ptr<const TensorFile> file;
  std::string name = files.lm;
  bool expand = false;
  PackedSize size;
  if (!model.synthetic.empty()) {
    const SyntheticModel made = synthetic_model(model.synthetic);
    name = made.name;
    make_mimi_ = [made](Backend& backend) {
      const Precision precision = made.small ? Precision::Stored : kCodecPrecision;
      return std::make_unique<Mimi>(Weights(*synthetic_mimi(made, precision), backend, {.precision = precision}),
                                    made.mimi);
    };
    if (made.lm) {
      config = made.lm;
      out.weights = files.weights.value_or(made.small ? Precision::Stored : Precision::Q8);
      out.kv = files.kv.value_or(made.small ? KvType::F32 : KvType::F16);
      file = synthetic_lm(made, out.weights);
      const int live = std::min(config->own_codebooks(), config->generated_codebooks);
      size = moshi::packed_size(lm_tensors(*config, made.widths, live, made.numbered), out.weights);
    }
  } else {
    make_mimi_ = [files](Backend& backend) {
      return load_mimi(files.mimi, files.mimi_config, backend, codec_precision(files.mimi));
    };
    const LmFile lm(files);
    config = lm.config();
    out.weights = lm.precision();
    out.kv = lm.kv();
    file = open_weights(files.lm, config->depth_schedule);
    expand = config->settle(generated_codebooks(*file), files.expand);
    size = packed_size(*file, out.weights);
  }
  if (config) {
    out.heard = config->user_codebooks();
    out.spoken = config->own_codebooks();
    out.persona = config->dialect == Dialect::PersonaPlex;
    check_memory(name, size, static_cast<uint64_t>(conversations) * kv_bytes(*config, out.kv, position + 64),
                 out.weights);
  }

  mimi_ = make_mimi_(*timed_);
  if (!config) return out;
  const uint64_t before = reset_peak_memory() ? resident_memory() : 0, packed_before = timed_->packed();
  out.ms = milliseconds([&] {
    const LabelledFile labelled(*file, *timed_);
    const Weights weights(labelled, *timed_,
                          {.expand = expand,
                           .lora = files.lora,
                           .lora_rank = config->lora_rank,
                           .lora_scale = files.lora_scale.value_or(config->lora_scale),
                           .precision = out.weights});
    lm_ = std::make_unique<Lm>(weights, *config, true, out.kv);
  });
  out.packed_bytes = size_ = timed_->packed() - packed_before;
  if (before > 0) out.peak_bytes = peak_memory() - std::min(before, peak_memory());
  return out;
}

void Bench::unload() {
  lm_.reset();
  mimi_.reset();
  timed_ = std::make_unique<TimedBackend>(*backend_);
  size_ = 0;
}

int Bench::codebooks() const {
  return mimi_->quantizer().codebooks();
}

CodecTimes Bench::codec(bool one_thread, int count, int frames) const {
  if (!mimi_) throw Error(kBadOption, "no model is loaded");
  count = std::min(count, codebooks());
  std::unique_ptr<CpuBackend> single;
  std::unique_ptr<TimedBackend> timed_single;
  std::unique_ptr<Mimi> mimi_single;
  if (one_thread && threads() > 1) {
    single = std::make_unique<CpuBackend>(1, isa_.empty() ? nullptr : isa_.c_str());
    timed_single = std::make_unique<TimedBackend>(*single);
    mimi_single = make_mimi_(*timed_single);
  }
  const Mimi& mimi = mimi_single ? *mimi_single : *mimi_;
  TimedBackend& timed = timed_single ? *timed_single : *timed_;
  CpuBackend& backend = single ? *single : *backend_;

  MimiState encoder = mimi.make_encoder(), decoder = mimi.make_decoder();
  std::vector<int32_t> codes(static_cast<size_t>(count));
  std::vector<float> sound(static_cast<size_t>(mimi.frame_samples()));
  const Tap encoding = [&](const char* name, const float*, int64_t, int64_t) {
    const std::string_view at = name;
    timed.enter(at == "enc_seanet"   ? Part::CodecTransformer
                : at == "enc_latent" ? Part::Quantizer
                                     : Part::Convolutions);
  };
  const Tap decoding = [&](const char* name, const float*, int64_t, int64_t) {
    timed.enter(std::string_view(name) == "dec_upsample" ? Part::CodecTransformer : Part::Convolutions);
  };
  struct Frame {
    double encode, decode, peak;
    Costs encode_costs, decode_costs;
    Cost convolutions() const {
      Cost sum = encode_costs.of(Part::Convolutions, Kind::Linear);
      return sum += decode_costs.of(Part::Convolutions, Kind::Linear);
    }
  };
  uint32_t seed = 0;
  const auto frame = [&] {
    Frame out;
    const std::vector<float> pcm = noise(mimi.frame_samples(), seed++);
    const double before = peak(kernels_);
    out.encode = milliseconds([&] {
      timed.begin(Part::Convolutions);
      mimi.encode(encoder, pcm.data(), 1, count, codes.data(), encoding);
      out.encode_costs = timed.end();
    });
    out.decode = milliseconds([&] {
      timed.begin(Part::Quantizer);
      mimi.decode(decoder, codes.data(), 1, count, sound.data(), decoding);
      out.decode_costs = timed.end();
    });
    out.peak = 2 / (1 / before + 1 / peak(kernels_)) * backend.threads();
    return out;
  };
  frame();
  const int64_t full = mimi.config().transformer.context + 1;
  advance(encoder.transformer, backend, full);
  advance(decoder.transformer, backend, full);
  for (int i = 0; i < kWarmUp; ++i) frame();
  std::vector<Frame> measured;
  for (double spent = 0; static_cast<int>(measured.size()) < frames;) {
    measured.push_back(frame());
    spent += measured.back().encode + measured.back().decode;
    if (spent > kPatience / 2 && static_cast<int>(measured.size()) >= kFewest) break;
  }

  CodecTimes out;
  std::vector<double> encodes, decodes;
  for (const Frame& one : measured) {
    encodes.push_back(one.encode);
    decodes.push_back(one.decode);
  }
  out.encode = quickest(encodes);
  out.decode = quickest(decodes);
  const Costs& encode = fastest_frame(measured, [](const Frame& one) { return one.encode; }).encode_costs;
  const Costs& decode = fastest_frame(measured, [](const Frame& one) { return one.decode; }).decode_costs;
  std::vector<double> ratios;
  for (const Frame& one : measured) {
    const Cost cost = one.convolutions();
    ratios.push_back(2 * cost.multiply_adds / cost.seconds / one.peak);
    const double ms = cost.seconds * 1000;
    if (out.convolution_ms > 0 && ms >= out.convolution_ms) continue;
    out.convolution_ms = ms;
    out.convolution_flops = 2 * cost.multiply_adds;
  }
  out.of_peak = middle(ratios);
  out.encode_stages = stages_of(encode);
  out.decode_stages = stages_of(decode);
  return out;
}

}  // namespace moshi
