// The codec stage by stage, one-shot and streaming, with resets, fewer codebooks, and a session that pauses.
#include <cstring>
#include <map>
#include <regex>

#include "core/error.h"
#include "files/file.h"
#include "files/safetensors.h"
#include "model/mimi.h"
#include "tests/parity.h"

namespace moshi {

namespace {

using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;

// Collects [rows, channels] chunks of a tapped tensor and gives them as the reference stores them: [channels, time].
struct Recorder {
  std::map<std::string, Floats> rows;
  std::map<std::string, int64_t> width;
  Tap tap() {
    return [this](const char* name, const float* data, int64_t n, int64_t channels) {
      rows[name].insert(rows[name].end(), data, data + n * channels);
      width[name] = channels;
    };
  }
  Floats transposed(const std::string& name) {
    const Floats& in = rows[name];
    const size_t c = static_cast<size_t>(width[name]), t = c ? in.size() / c : 0;
    Floats out(in.size());
    for (size_t i = 0; i < t; ++i)
      for (size_t j = 0; j < c; ++j) out[j * t + i] = in[i * c + j];
    return out;
  }
};

// [frames, codebooks] ↔ [codebooks, frames].
Ints transposed(const std::vector<int32_t>& codes, int64_t codebooks) {
  const int64_t frames = static_cast<int64_t>(codes.size()) / codebooks;
  Ints out(codes.size());
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t q = 0; q < codebooks; ++q)
      out[static_cast<size_t>(q * frames + f)] = codes[static_cast<size_t>(f * codebooks + q)];
  return out;
}

std::vector<int32_t> frames_of(const Ints& codes, int64_t total, int64_t frames, int64_t codebooks) {
  std::vector<int32_t> out;
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t q = 0; q < codebooks; ++q)
      out.push_back(static_cast<int32_t>(codes[static_cast<size_t>(q * total + f)]));
  return out;
}

class MimiCase {
 public:
  MimiCase(const Case& one, Backend& backend, Report& report)
      : one_(one), backend_(backend), report_(report), expected_(one.file("expected.safetensors")) {
    // A fork case uses the weights, audio and codes of the case beside it.
    std::string base = one.folder;
    fork_ = !one.has("config.json");
    if (fork_) {
      const std::string readme = one.readme();
      std::smatch match;
      if (std::regex_search(readme, match, std::regex("\\.\\./([A-Za-z0-9_-]+)")))
        base += "/../" + match[1].str();
      else if (base.size() > 5 && base.compare(base.size() - 5, 5, "-fork") == 0)
        base.resize(base.size() - 5);
    }
    const std::string config = base + "/config.json";
    weights_ = std::make_unique<Safetensors>(base + "/model.safetensors");
    mimi_ = std::make_unique<Mimi>(Weights(*weights_, backend),
                                   MimiConfig::parse(Json::parse(read_whole(config, 1 << 20), config)));
    const Safetensors source(base + "/expected.safetensors");
    audio_ = source.floats("audio");
    codes_ = source.integers("codes");
    codebooks_ = source.info("codes").shape.at(1);
    frames_ = source.info("codes").shape.at(2);
  }

  void run() {
    if (!fork_) one_shot();
    together();
    for (const auto& [name, info] : expected_.tensors()) {
      std::smatch match;
      if (name == "codes_stream")
        stream(name, "latent_stream", -1);
      else if (std::regex_match(name, match, std::regex("codes_stream_reset(\\d+)")))
        stream(name, "latent_stream_reset" + match[1].str(), std::stol(match[1]));
      else if (name == "pcm_stream")
        decode_stream(name, info, -1);
      else if (std::regex_match(name, match, std::regex("pcm_stream_reset(\\d+)")))
        decode_stream(name, info, std::stol(match[1]));
      else if (std::regex_match(name, match, std::regex("pcm_(\\d+)_codebooks?")))
        fewer_codebooks(name, info, std::stol(match[1]));
    }
    if (expected_.has("batch_exec_mask_row1")) paused_session();
    if (expected_.has("pcm_stream")) half_precision();
  }

 private:
  int64_t samples() const { return mimi_->frame_samples(); }
  MimiState encoder(int64_t frames = 0) const {
    MimiState state = mimi_->make_encoder(frames);
    state.transformer.fork = fork_;
    return state;
  }
  MimiState decoder(int64_t frames = 0) const {
    MimiState state = mimi_->make_decoder(frames);
    state.transformer.fork = fork_;
    return state;
  }
  void close(const std::string& name, const Floats& got, const std::string& label = "") {
    if (expected_.has(name)) report_.close(label.empty() ? name : label, got, expected_.floats(name));
  }

  // Whole file in one call, and in chunks of several frames: the results must be those of the reference's one-shot
  // mode.
  void one_shot() {
    Floats padded = audio_;
    padded.resize(static_cast<size_t>(frames_ * samples()), 0.0f);
    for (const int64_t chunk : {frames_, int64_t{5}}) {
      const std::string suffix = chunk == frames_ ? "" : " (5 at a time)";
      Recorder recorder;
      MimiState in = encoder(chunk), out = decoder(chunk);
      std::vector<int32_t> codes(static_cast<size_t>(frames_ * codebooks_));
      Floats pcm(padded.size());
      const std::vector<int32_t> given = frames_of(codes_, frames_, frames_, codebooks_);
      for (int64_t f = 0; f < frames_; f += chunk) {
        const int64_t n = std::min(chunk, frames_ - f);
        mimi_->encode(in, &padded[static_cast<size_t>(f * samples())], n, static_cast<int>(codebooks_),
                      &codes[static_cast<size_t>(f * codebooks_)], recorder.tap());
        mimi_->decode(out, &given[static_cast<size_t>(f * codebooks_)], n, static_cast<int>(codebooks_),
                      &pcm[static_cast<size_t>(f * samples())], recorder.tap());
      }
      for (const char* name :
           {"enc_seanet", "enc_transformer", "enc_latent", "dec_latent", "dec_upsample", "dec_transformer"})
        close(name, recorder.transposed(name), name + suffix);
      report_.same("codes" + suffix, transposed(codes, codebooks_), codes_);
      close("pcm", pcm, "pcm" + suffix);
      if (!suffix.empty()) continue;
      const Floats& latent = recorder.rows["enc_latent"];
      for (const bool acoustic : {false, true}) {
        Recorder projected;
        const Floats values = mimi_->quantizer().project(latent, acoustic);
        projected.tap()("p", values.data(), frames_, static_cast<int64_t>(values.size()) / frames_);
        close(acoustic ? "proj_acoustic" : "proj_semantic", projected.transposed("p"));
      }
    }
  }

  void stream(const std::string& codes_name, const std::string& latent_name, int64_t reset_after) {
    const int64_t frames = expected_.info(codes_name).shape.at(2), count = expected_.info(codes_name).shape.at(1);
    Recorder recorder;
    MimiState state = encoder();
    std::vector<int32_t> codes(static_cast<size_t>(frames * count));
    for (int64_t f = 0; f < frames; ++f) {
      mimi_->encode(state, &audio_.at(static_cast<size_t>(f * samples())), 1, static_cast<int>(count),
                    &codes[static_cast<size_t>(f * count)], recorder.tap());
      if (f == reset_after) state.reset();
    }
    report_.same(codes_name, transposed(codes, count), expected_.integers(codes_name));
    close(latent_name, recorder.transposed("enc_latent"));
  }

  void decode_stream(const std::string& name, const TensorInfo& info, int64_t reset_after) {
    const int64_t frames = info.count() / samples();
    const std::vector<int32_t> codes = frames_of(codes_, frames_, frames, codebooks_);
    MimiState state = decoder();
    Floats pcm(static_cast<size_t>(info.count()));
    for (int64_t f = 0; f < frames; ++f) {
      mimi_->decode(state, &codes[static_cast<size_t>(f * codebooks_)], 1, static_cast<int>(codebooks_),
                    &pcm[static_cast<size_t>(f * samples())]);
      if (f == reset_after) state.reset();
    }
    close(name, pcm);
  }

  void fewer_codebooks(const std::string& name, const TensorInfo& info, int64_t count) {
    const int64_t frames = info.count() / samples();
    const std::vector<int32_t> codes = frames_of(codes_, frames_, frames, count);
    MimiState state = decoder(frames);
    Floats pcm(static_cast<size_t>(info.count()));
    mimi_->decode(state, codes.data(), frames, static_cast<int>(count), pcm.data());
    close(name, pcm);
  }

  // Large codecs are run with half-precision weights: the sound must stay that of the exact ones.
  void half_precision() {
    const int64_t frames = expected_.info("pcm_stream").count() / samples();
    const std::vector<int32_t> codes = frames_of(codes_, frames_, frames, codebooks_);
    const Mimi rounded(Weights(*weights_, backend_, {.precision = Precision::F16}), mimi_->config());
    MimiState state = rounded.make_decoder();
    state.transformer.fork = fork_;
    Floats pcm(static_cast<size_t>(frames * samples()));
    for (int64_t f = 0; f < frames; ++f)
      rounded.decode(state, &codes[static_cast<size_t>(f * codebooks_)], 1, static_cast<int>(codebooks_),
                     &pcm[static_cast<size_t>(f * samples())]);
    report_.quiet("pcm_stream, f16 weights", pcm, expected_.floats("pcm_stream"), 60);
  }

  // Row 1 of the reference's batch: it runs on some steps only and is reset once. To us it is simply a session of its
  // own.
  void paused_session() {
    const Ints mask = expected_.integers("batch_exec_mask_row1");
    const std::string readme = one_.readme();
    std::smatch match;
    const int64_t reset_before =
        std::regex_search(readme, match, std::regex("row 1 was reset before step (\\d+)")) ? std::stol(match[1]) : -1;
    const int64_t start =
        std::regex_search(readme, match, std::regex("row 1 = audio from sample (\\d+)")) ? std::stol(match[1]) : 24000;
    const auto run = [&](int64_t reset, std::vector<int32_t>& codes, Floats& pcm) {
      MimiState in = encoder(), out = decoder();
      int64_t active = 0;
      const size_t q = static_cast<size_t>(codebooks_), s = static_cast<size_t>(samples());
      for (size_t step = 0; step < mask.size(); ++step) {
        if (static_cast<int64_t>(step) == reset) in.reset(), out.reset();
        if (!mask[step]) continue;
        codes.resize(codes.size() + q);
        pcm.resize(pcm.size() + s);
        mimi_->encode(in, &audio_.at(static_cast<size_t>(start + active * samples())), 1, static_cast<int>(codebooks_),
                      &codes[codes.size() - q]);
        mimi_->decode(out, &codes[codes.size() - q], 1, static_cast<int>(codebooks_), &pcm[pcm.size() - s]);
        ++active;
      }
    };
    std::vector<int32_t> codes;
    Floats pcm;
    run(reset_before, codes, pcm);
    report_.same("batch_codes_row1", transposed(codes, codebooks_), expected_.integers("batch_codes_row1"));
    close("batch_pcm_row1", pcm);
    if (!expected_.has("batch_codes_row0")) return;
    const int64_t frames = expected_.info("batch_codes_row0").shape.at(2);
    MimiState in = encoder();
    std::vector<int32_t> first(static_cast<size_t>(frames * codebooks_));
    for (int64_t f = 0; f < frames; ++f)
      mimi_->encode(in, &audio_.at(static_cast<size_t>(f * samples())), 1, static_cast<int>(codebooks_),
                    &first[static_cast<size_t>(f * codebooks_)]);
    report_.same("batch_codes_row0", transposed(first, codebooks_), expected_.integers("batch_codes_row0"));
  }

  // Sessions in one call, one of which begins later and elsewhere, against each for itself.
  void together() {
    constexpr int64_t kLate = 2;
    const int64_t steps = std::min<int64_t>(8, frames_ - kLate);
    const auto s = static_cast<size_t>(samples()), q = static_cast<size_t>(codebooks_);
    const auto frame = [&](int64_t f) { return audio_.begin() + f * samples(); };
    std::vector<MimiState> in, out;
    for (int i = 0; i < 3; ++i) in.push_back(encoder()), out.push_back(decoder());
    std::vector<int32_t> all(3 * q), alone_codes, codes;
    Floats pcm(3 * s), alone_pcm, sound;
    MimiState single_in = encoder(), single_out = decoder();
    for (int64_t f = 0; f < steps; ++f) {
      const size_t n = f < kLate ? 2 : 3;
      Floats heard(frame(f), frame(f + 1));
      heard.insert(heard.end(), frame(f + 1), frame(f + 2));
      if (n == 3) heard.insert(heard.end(), frame(f - kLate), frame(f - kLate + 1));
      std::vector<MimiState*> ears, mouths;
      for (size_t i = 0; i < n; ++i) ears.push_back(&in[i]), mouths.push_back(&out[i]);
      mimi_->encode(ears, heard.data(), 1, static_cast<int>(q), all.data());
      mimi_->decode(mouths, all.data(), 1, static_cast<int>(q), pcm.data());
      if (n < 3) continue;
      codes.insert(codes.end(), all.end() - codebooks_, all.end());
      sound.insert(sound.end(), pcm.end() - samples(), pcm.end());
      alone_codes.resize(codes.size());
      alone_pcm.resize(sound.size());
      mimi_->encode(single_in, &*frame(f - kLate), 1, static_cast<int>(q), &alone_codes[codes.size() - q]);
      mimi_->decode(single_out, &alone_codes[codes.size() - q], 1, static_cast<int>(q), &alone_pcm[sound.size() - s]);
    }
    report_.same("codes of three sessions in one call", Ints(codes.begin(), codes.end()),
                 Ints(alone_codes.begin(), alone_codes.end()));
    report_.close("pcm of three sessions in one call", sound, alone_pcm);
  }

  const Case& one_;
  Backend& backend_;
  Report& report_;
  Safetensors expected_;
  bool fork_ = false;
  std::unique_ptr<Safetensors> weights_;
  std::unique_ptr<Mimi> mimi_;
  Floats audio_;
  Ints codes_;
  int64_t codebooks_ = 0, frames_ = 0;
};

}  // namespace

void check_mimi(const Case& one, Backend& backend, Report& report) {
  MimiCase(one, backend, report).run();
}

}  // namespace moshi
