// The bench's models, and the codec alone.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/memory.h"
#include "files/file.h"
#include "model/names.h"
#include "runtime/bench.h"
#include "runtime/bench_parts.h"

namespace moshi {

namespace {

constexpr uint64_t kSlack = uint64_t{256} << 20;  // what a load may take beyond its packed weights and one tensor
// On a GPU: what is copied beside a frame and works in it; and what the codec remembers of a conversation.
constexpr uint64_t kGpuSlack = uint64_t{1} << 30, kGpuCodec = uint64_t{32} << 20;

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

void check_memory(const std::string& name, const PackedSize& size, uint64_t kv, uint64_t slack, Precision precision,
                  uint64_t available) {
  const uint64_t needed = size.all + 2 * size.largest + kv + slack;
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
    const auto count = static_cast<uint64_t>(conversations);
    check_memory(name, size, count * kv_bytes(*config, out.kv, position + 64),
                 gpu_ ? kGpuSlack + count * kGpuCodec : kSlack, out.weights, free_memory());
  }

  mimi_ = make_mimi_(*timed_);
  if (!config) return out;
  const uint64_t before = gpu_ ? gpu_->card().allocated() : reset_peak_memory() ? resident_memory() : 0;
  const uint64_t packed_before = timed_->packed();
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
  const uint64_t peak = gpu_ ? gpu_->card().allocated() : peak_memory();
  if (gpu_ || before > 0) out.peak_bytes = peak - std::min(before, peak);
  return out;
}

void Bench::unload() {
  lm_.reset();
  mimi_.reset();
  timed_ = std::make_unique<TimedBackend>(*backend_);
  if (gpu_) gpu_->give_back();
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
  const int cores = single ? 1 : threads();

  MimiState encoder = mimi.make_encoder(), decoder = mimi.make_decoder();
  std::vector<int32_t> codes(static_cast<size_t>(count));
  std::vector<float> sound(static_cast<size_t>(mimi.frame_samples()));
  // On a GPU what is seen from the host is no time of the stages, and looking at them would take some.
  const Tap encoding = gpu_ ? Tap() : [&](const char* name, const float*, int64_t, int64_t) {
    const std::string_view at = name;
    timed.enter(at == "enc_seanet"   ? Part::CodecTransformer
                : at == "enc_latent" ? Part::Quantizer
                                     : Part::Convolutions);
  };
  const Tap decoding = gpu_ ? Tap() : [&](const char* name, const float*, int64_t, int64_t) {
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
    const double before = gpu_ ? 1 : peak(kernels_);
    out.encode = milliseconds([&] {
      if (!gpu_) timed.begin(Part::Convolutions);
      mimi.encode(encoder, pcm.data(), 1, count, codes.data(), encoding);
      if (!gpu_) out.encode_costs = timed.end();
    });
    out.decode = milliseconds([&] {
      if (!gpu_) timed.begin(Part::Quantizer);
      mimi.decode(decoder, codes.data(), 1, count, sound.data(), decoding);
      if (!gpu_) out.decode_costs = timed.end();
    });
    out.peak = gpu_ ? 1 : 2 / (1 / before + 1 / peak(kernels_)) * cores;
    return out;
  };
  frame();
  const int64_t full = mimi.config().transformer.context + 1;
  advance(encoder.transformer, timed, full);
  advance(decoder.transformer, timed, full);
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
  if (gpu_) return out;
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
