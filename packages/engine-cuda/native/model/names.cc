#include "model/names.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "core/error.h"
#include "files/gguf.h"
#include "files/mlx.h"
#include "files/safetensors.h"

namespace moshi {

namespace {

constexpr std::string_view kPrefix = "lm.", kSlices = "depformer.slices.", kDepth = "depformer.",
                           kAudio = "audio_embs.";

bool begins(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

bool ends(std::string_view text, std::string_view with) {
  return text.size() >= with.size() && text.substr(text.size() - with.size()) == with;
}

// Takes "12." off the front; -1 when there is no number.
int take_number(std::string_view& text) {
  size_t end = 0;
  int number = 0;
  while (end < text.size() && end < 5 && text[end] >= '0' && text[end] <= '9')
    number = number * 10 + (text[end++] - '0');
  if (end == 0 || end == text.size() || text[end] != '.') return -1;
  text.remove_prefix(end + 1);
  return number;
}

// The root mean square norms of MLX call their one vector a weight, which is what layer norms call theirs.
std::string norm_name(const TensorFile& file, const std::string& source, const std::string& name) {
  if (!ends(name, "norm.weight") && !ends(name, "norm1.weight") && !ends(name, "norm2.weight")) return name;
  const std::string stem = source.substr(0, source.size() - std::string_view("weight").size());
  if (file.has(stem + "bias")) return name;
  return name.substr(0, name.size() - std::string_view("weight").size()) + "alpha";
}

// What the depth weights of codebooks that share them are called.
class Slices {
 public:
  explicit Slices(const std::vector<int>& schedule) : schedule_(schedule) {}

  // The published name of tensor `rest` of the part of codebook `k`; empty for one that another codebook has.
  std::string name(int k, std::string_view rest) const {
    const auto at = static_cast<size_t>(k);
    const int set = at < schedule_.size() ? schedule_[at] : k;
    const auto user = std::find(schedule_.begin(), schedule_.end(), set);
    const bool first = schedule_.empty() || at >= schedule_.size() || user - schedule_.begin() == k;
    const std::string number = std::to_string(set);
    if (begins(rest, "linear_out.")) return "linears." + std::to_string(k) + std::string(rest.substr(10));
    if (begins(rest, "emb."))
      return (k == 0 ? "depformer_text_emb" : "depformer_emb." + std::to_string(k - 1)) + std::string(rest.substr(3));
    if (begins(rest, "linear_in.")) return first ? "depformer_in." + number + std::string(rest.substr(9)) : "";
    if (!begins(rest, "transformer.layers.")) return "";
    rest.remove_prefix(std::string_view("transformer.layers.").size());
    const int layer = take_number(rest);
    if (layer < 0) return "";
    const std::string prefix = "depformer.layers." + std::to_string(layer) + ".";
    for (const char* const kind : {"in_proj", "out_proj"}) {
      const std::string stem = std::string("self_attn.") + kind;
      if (!begins(rest, stem) || rest.size() < stem.size() + 2) continue;
      // Both "in_proj.weight" and "in_proj_weight".
      return first ? prefix + stem + "s." + number + "." + std::string(rest.substr(stem.size() + 1)) : "";
    }
    if (begins(rest, "gating.")) return first ? prefix + "gating." + number + std::string(rest.substr(6)) : "";
    // Norms and scales are everyone's.
    return k == 0 ? prefix + std::string(rest) : "";
  }

 private:
  const std::vector<int>& schedule_;
};

}  // namespace

NamedTensors::NamedTensors(std::unique_ptr<const TensorFile> file, const std::map<std::string, std::string>& names)
    : file_(std::move(file)) {
  for (const auto& [from, to] : names) tensors_.emplace(to, file_->info(from));
}

std::map<std::string, std::string> published_names(const TensorFile& file, const std::vector<int>& schedule) {
  std::map<std::string, std::string> out;
  std::set<std::string> taken;
  const bool prefixed = file.has(std::string(kPrefix) + "text_emb.weight");
  const Slices slices(schedule);
  for (const auto& [source, info] : file.tensors()) {
    std::string_view rest = source;
    if (prefixed && begins(rest, kPrefix)) rest.remove_prefix(kPrefix.size());
    std::string name(rest);
    if (begins(rest, kAudio)) {
      name = "emb." + std::string(rest.substr(kAudio.size()));
    } else if (begins(rest, kDepth)) {
      rest.remove_prefix((begins(rest, kSlices) ? kSlices : kDepth).size());
      if (const int codebook = take_number(rest); codebook >= 0) name = slices.name(codebook, rest);
    }
    if (name.empty()) continue;
    name = norm_name(file, source, name);
    if (!taken.insert(name).second)
      throw Error(kBadModel, file.path() + ": has '" + printable(name) + "' under two names");
    out[source] = name;
  }
  return out;
}

std::unique_ptr<const TensorFile> open_weights(const std::string& path, const std::vector<int>& schedule) {
  std::unique_ptr<const TensorFile> file;
  if (Gguf::is(File(path)))
    file = std::make_unique<Gguf>(path);
  else
    file = std::make_unique<Safetensors>(path);
  if (MlxTensors::in(*file)) file = std::make_unique<MlxTensors>(std::move(file));
  const std::map<std::string, std::string> names = published_names(*file, schedule);
  return std::make_unique<NamedTensors>(std::move(file), names);
}

}  // namespace moshi
