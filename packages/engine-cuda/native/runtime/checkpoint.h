// A model on disk, as the published repositories lay it out, loaded into a backend.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cpu/cpu_backend.h"
#include "files/sentencepiece.h"
#include "model/lm.h"
#include "model/mimi.h"
#include "runtime/weights_cache.h"

namespace moshi {

struct CheckpointFiles {
  std::string config;                                    // empty: the Moshi 7B of repositories without one
  std::string lm;                                        // model.safetensors
  std::string mimi;                                      // tokenizer-….safetensors
  std::string mimi_config;                               // empty: the published Mimi
  std::string tokenizer;                                 // tokenizer_….model
  std::string lora{};                                    // an adapter's .safetensors; empty: none
  std::optional<float> lora_scale = std::nullopt;        // in place of the config's
  bool expand = false;                                   // load a Moshi checkpoint as PersonaPlex
  std::optional<Precision> weights = Precision::Stored;  // empty: what suits the model, see LmFile
  WeightsCache cache{};
  std::optional<KvType> kv = KvType::F32;  // empty: f16 for models of 1 GB and more
  int64_t context = 0;                     // positions the temporal transformer looks back; 0: the model's own
};

// A config.json; what stands for one where there is none, when the path is empty.
LmConfig read_lm_config(const std::string& path);

// A language model on disk that is not in memory yet.
class LmFile {
 public:
  // Throws Error when config and weights do not belong together.
  explicit LmFile(const CheckpointFiles& files);

  const LmConfig& config() const { return config_; }
  // Whether its layers are stored quantized; then that is how they are run.
  bool quantized() const;
  // Files of 1 GB and more, which are worth a rehearsal.
  bool large() const;
  // Large ones are run as q8 unless they are quantized or the caller chose; the others as they are stored.
  Precision precision() const;
  KvType kv() const;
  // The cached file of the weights as they are to be run, made first if need be; empty when they are not quantized, or
  // in memory: with an adapter, or where there is no cache.
  std::string cached(Backend& backend) const;
  std::unique_ptr<Lm> load(Backend& backend, bool live) const;

 private:
  CheckpointFiles files_;
  LmConfig config_;
  std::unique_ptr<const TensorFile> file_;
  bool expand_;
};

// As conversations run it. Half precision costs nothing that could be heard, and saves half of the reading; small
// codecs stay exact.
inline constexpr Precision kCodecPrecision = Precision::F16;
Precision codec_precision(const std::string& weights);

std::unique_ptr<Mimi> load_mimi(const std::string& weights, const std::string& config, Backend& backend,
                                Precision precision = Precision::Stored);

struct Checkpoint {
  // Throws Error when the files do not form one speech-to-speech model at 24 kHz and 12.5 frames a second. Depth
  // weights that only ever draw what a conversation is given are left out.
  Checkpoint(const CheckpointFiles& files, std::unique_ptr<Backend> backend);

  std::unique_ptr<Backend> backend;
  std::unique_ptr<Lm> lm;
  std::unique_ptr<Mimi> mimi;
  SentencePiece tokenizer;
  Precision precision = Precision::Stored;  // of the language model
};

}  // namespace moshi
