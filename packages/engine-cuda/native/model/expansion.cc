#include "model/expansion.h"

#include <filesystem>

#include "core/error.h"
#include "core/path.h"
#include "files/safetensors.h"
#include "files/safetensors_writer.h"

namespace moshi {

namespace {

// Weights a codebook has for itself, in the names' own words.
constexpr const char* kNumbered[] = {"gating.",          "linears.",  "depformer_in.",
                                     "depformer_norms.", "in_projs.", "out_projs."};
constexpr const char* kEmbedding = "depformer_emb.";

int count_numbered(const TensorFile& file, const std::string& prefix) {
  int count = 0;
  while (file.has(prefix + std::to_string(count) + ".weight")) ++count;
  return count;
}

bool of_depth(const std::string& name) {
  return name.compare(0, 9, "depformer") == 0 || name.compare(0, 8, "linears.") == 0;
}

// The name with the number behind `word` raised by `by`, if it is below `limit`; otherwise empty.
std::string raised(const std::string& name, const std::string& word, int by, int limit) {
  const size_t at = name.find(word);
  if (at == std::string::npos || (at > 0 && name[at - 1] != '.')) return {};
  const size_t begin = at + word.size(), end = name.find('.', begin);
  if (end == std::string::npos || end == begin || end - begin > 4) return {};
  int number = 0;
  for (size_t i = begin; i < end; ++i) {
    if (name[i] < '0' || name[i] > '9') return {};
    number = number * 10 + (name[i] - '0');
  }
  return number < limit ? name.substr(0, begin) + std::to_string(number + by) + name.substr(end) : std::string();
}

}  // namespace

StoredTensors stored_tensors(const TensorFile& file) {
  StoredTensors out;
  for (const auto& [name, info] : file.tensors()) out[name] = {name, 1, info.type, info.shape};
  return out;
}

int generated_codebooks(const TensorFile& file) {
  return count_numbered(file, "linears.");
}

StoredTensors expanded_tensors(const TensorFile& file) {
  const int half = generated_codebooks(file), all = count_numbered(file, "emb.");
  if (half < 1 || all != 2 * half)
    throw Error(kBadModel,
                file.path() + ": generates " + std::to_string(half) + " of " + std::to_string(all) +
                    " codebooks; only a checkpoint that generates half of them, like Moshi's, can be expanded");
  if (count_numbered(file, "depformer_in.") != half)
    throw Error(kBadModel, file.path() + ": its codebooks share weights, and such a checkpoint cannot be expanded");
  StoredTensors out = stored_tensors(file);
  for (const auto& [name, info] : file.tensors()) {
    if (!of_depth(name)) continue;
    if (name.find("self_attn.in_proj") != std::string::npos || name.find("self_attn.out_proj") != std::string::npos) {
      // Newer files number them like all the others.
      if (name.find("_projs.") == std::string::npos && !info.shape.empty()) {
        out[name].copies = 2;
        out[name].shape[0] *= 2;
      }
    }
    for (const char* word : kNumbered)
      if (const std::string copy = raised(name, word, half, half); !copy.empty()) out.emplace(copy, out[name]);
    // The last codebook feeds nothing, so embeddings are one fewer.
    if (const std::string copy = raised(name, kEmbedding, half, half - 1); !copy.empty()) out.emplace(copy, out[name]);
    if (const std::string gap = raised(name, kEmbedding, half - 1, 1); !gap.empty())
      out.emplace(gap, StoredTensor{"", 1, info.type, info.shape});
  }
  return out;
}

void write_expanded(const std::string& lm_path, const std::string& out_path) {
  const Safetensors file(lm_path);
  std::error_code ignored;
  if (std::filesystem::equivalent(path_of(lm_path), path_of(out_path), ignored))
    throw Error(kBadOption, out_path + ": is the checkpoint itself; give the expanded one another name");
  const StoredTensors tensors = expanded_tensors(file);
  std::vector<SafetensorsWriter::Tensor> list;
  for (const auto& [name, tensor] : tensors) list.push_back({name, tensor.type, tensor.shape});
  SafetensorsWriter writer(out_path, std::move(list));
  for (const auto& [name, type, shape] : writer.tensors()) {
    const StoredTensor& tensor = tensors.at(name);
    std::vector<char> bytes;
    if (tensor.source.empty()) {
      bytes.resize(SafetensorsWriter::Tensor{name, type, shape}.bytes());
    } else {
      const TensorInfo& info = file.info(tensor.source);
      bytes.resize(info.bytes);
      file.read(info, bytes.data());
    }
    for (int copy = 0; copy < tensor.copies; ++copy) writer.write(bytes.data(), bytes.size());
  }
  writer.finish();
}

}  // namespace moshi
