// A model on disk, as the published repositories lay it out, loaded into a backend.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cpu/cpu_backend.h"
#include "files/sentencepiece.h"
#include "model/lm.h"
#include "model/mimi.h"

namespace moshi {

struct CheckpointFiles {
  std::string config;                              // empty: the Moshi 7B of repositories without one
  std::string lm;                                  // model.safetensors
  std::string mimi;                                // tokenizer-….safetensors
  std::string mimi_config;                         // empty: the published Mimi
  std::string tokenizer;                           // tokenizer_….model
  std::string lora{};                              // an adapter's .safetensors; empty: none
  std::optional<float> lora_scale = std::nullopt;  // in place of the config's
  bool expand = false;                             // load a Moshi checkpoint as PersonaPlex
};

std::unique_ptr<Mimi> load_mimi(const std::string& weights, const std::string& config, Backend& backend);

struct Checkpoint {
  // Throws Error when the files do not form one speech-to-speech model at 24 kHz and 12.5 frames a second. Depth
  // weights that only ever draw what a conversation is given are left out.
  Checkpoint(const CheckpointFiles& files, std::unique_ptr<CpuBackend> backend);

  std::unique_ptr<CpuBackend> backend;
  std::unique_ptr<Lm> lm;
  std::unique_ptr<Mimi> mimi;
  SentencePiece tokenizer;
};

}  // namespace moshi
