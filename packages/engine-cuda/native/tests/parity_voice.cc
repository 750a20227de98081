// The voices of a PersonaPlex case: a recording through loudness and codec, and the published form, each read as a
// persona and followed by live frames.
#include "tests/parity_voice.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <regex>

#include "model/loudness.h"
#include "model/persona.h"
#include "runtime/checkpoint.h"
#include "runtime/voice_file.h"
#include "tests/parity_tools.h"

namespace moshi {

namespace {

// Samples of a 16-bit mono WAV file, all the cases have.
Floats read_wav(const std::string& path) {
  const std::string bytes = read_whole(path, 64 << 20);
  const size_t data = bytes.find("data");
  if (data == std::string::npos || data + 8 > bytes.size()) return {};
  uint32_t size = 0;
  std::memcpy(&size, &bytes[data + 4], 4);
  const size_t count = std::min<size_t>(size, bytes.size() - data - 8) / 2;
  Floats out(count);
  for (size_t i = 0; i < count; ++i) {
    int16_t value = 0;
    std::memcpy(&value, &bytes[data + 8 + 2 * i], 2);
    out[i] = static_cast<float>(value) / 32768.0f;
  }
  return out;
}

class VoiceCase {
 public:
  VoiceCase(const Case& one, Backend& backend, Report& report, const Lm& lm, std::vector<int32_t> text)
      : one_(one), report_(report), lm_(lm), text_(std::move(text)), expected_(one.file("expected.safetensors")) {
    std::smatch match;
    const std::string readme = one.readme();
    std::string codec = "mimi-tiny";
    if (std::regex_search(readme, match, std::regex("Codec: `\\.\\./([A-Za-z0-9_-]+)`"))) codec = match[1].str();
    const std::string folder = one.folder + "/../" + codec;
    if (std::filesystem::exists(folder + "/model.safetensors"))
      mimi_ = load_mimi(folder + "/model.safetensors", folder + "/config.json", backend);
    greedy_.text = greedy_.audio = {0, 0, 0};
    backend_ = &backend;
  }

  void run() {
    for (const auto& entry : std::filesystem::directory_iterator(one_.file("voices"))) {
      const std::string path = entry.path().string(), type = entry.path().extension().string();
      if (type == ".wav") recording(path);
      if (type == ".pt") stored(path, entry.path().filename().string());
    }
  }

 private:
  void recording(const std::string& path) {
    const Floats pcm = read_wav(path);
    const double loudness = integrated_loudness(pcm, 24000);
    report_.close("voice_lufs", Floats{static_cast<float>(loudness)}, expected_.floats("voice_lufs"), 1e-6);
    const std::vector<double> loud = normalize_loudness(pcm, 24000, kVoiceLufs);
    report_.close("voice_audio", Floats(loud.begin(), loud.end()), expected_.floats("voice_audio"), 1e-6);
    // Without the case's codec beside it, the codes it gave are taken as they stand.
    if (!mimi_) return persona("codes", given_codes(), "after_voice_provided", 1e-4);
    VoiceEncoder encoder(*mimi_, pcm, lm_.config().own_codebooks());
    encoder.encode(*mimi_, encoder.frames());
    std::vector<Ints> frames;
    const auto own = static_cast<std::ptrdiff_t>(lm_.config().own_codebooks());
    for (auto at = encoder.codes.begin(); at < encoder.codes.end(); at += own) frames.emplace_back(at, at + own);
    report_.same("voice_codes", by_row(frames, static_cast<size_t>(own)), expected_.integers("voice_codes"));
    persona("recording", recorded_voice(pcm, *mimi_, lm_.config()), "after_voice_provided", 1e-4);
  }

  std::shared_ptr<Voice> given_codes() const {
    auto voice = std::make_shared<Voice>();
    const Ints rows = expected_.integers("voice_codes");
    const size_t own = static_cast<size_t>(expected_.info("voice_codes").shape.at(1)), frames = rows.size() / own;
    voice->codes.resize(rows.size());
    for (size_t k = 0; k < own; ++k)
      for (size_t t = 0; t < frames; ++t) voice->codes[t * own + k] = static_cast<int32_t>(rows[k * frames + t]);
    return voice;
  }

  void stored(const std::string& path, const std::string& name) {
    // Embeddings rounded to half the bits move everything after them.
    const bool rounded = name.find("f16") != std::string::npos;
    persona(name, read_voice(path, lm_.config()), "after_voice_provided_pt", rounded ? 3e-2 : 1e-4);
  }

  void persona(const std::string& name, const std::shared_ptr<Voice>& voice, const std::string& provided,
               double tolerance) {
    Generation one(lm_, greedy_);
    PersonaReader reader(lm_.config(), voice, text_);
    const int64_t frames = expected_.integers("after_voice_offset")[0];
    bool done = false;
    // A recording goes on with silence in the same part: its state in between is checked step by step elsewhere.
    while (one.steps() < frames && !done) done = reader.read(lm_, mimi_.get(), one);
    if (!voice->cache.empty()) {
      report_.same(name + ", after_voice_cache", Ints(one.cache().begin(), one.cache().end()),
                   expected_.integers("after_voice_cache"));
      report_.same(name + ", " + provided, Ints(one.provided().begin(), one.provided().end()),
                   expected_.integers(provided));
      report_.same(name + ", after_voice_offset", Ints{one.steps()}, expected_.integers("after_voice_offset"));
    }
    while (!done) done = reader.read(lm_, mimi_.get(), one);
    report_.same(name + ", state_cache", Ints(one.cache().begin(), one.cache().end()),
                 expected_.integers("state_cache"));
    report_.close(name + ", state_kv", ring_values(lm_.backend(), one), expected_.floats("state_kv"), tolerance);
    if (tolerance > 1e-4) return;
    const Remembered remembered = one.remember(*backend_);
    report_.same(name + ", gen_emitted", live(one), expected_.integers("gen_emitted"));
    Generation copy(lm_, greedy_);
    copy.recall(*backend_, remembered);
    report_.same(name + ", gen_emitted from a copy", live(copy), expected_.integers("gen_emitted"));
  }

  Ints live(Generation& one) const {
    const Ints user = expected_.integers("gen_user");
    const size_t rows = static_cast<size_t>(expected_.info("gen_user").shape.at(1)),
                 frames = static_cast<size_t>(expected_.info("gen_user").shape.at(2));
    std::vector<Ints> emitted;
    for (size_t t = 0; t < frames; ++t) {
      std::vector<int32_t> codes(rows), out;
      for (size_t k = 0; k < rows; ++k) codes[k] = static_cast<int32_t>(user[k * frames + t]);
      Generation* all[] = {&one};
      const StepInput in[] = {{codes.data()}};
      Generation::step(lm_, all, in);
      if (one.emitted(out)) emitted.push_back(wide(out));
    }
    return by_row(emitted, static_cast<size_t>(lm_.config().streams()));
  }

  const Case& one_;
  Report& report_;
  const Lm& lm_;
  std::vector<int32_t> text_;
  Safetensors expected_;
  std::unique_ptr<Mimi> mimi_;
  SamplingOptions greedy_;
  Backend* backend_;
};

}  // namespace

void check_voices(const Case& one, Backend& backend, Report& report, const Lm& lm, const std::vector<int32_t>& text) {
  if (std::filesystem::is_directory(one.file("voices"))) VoiceCase(one, backend, report, lm, text).run();
}

}  // namespace moshi
