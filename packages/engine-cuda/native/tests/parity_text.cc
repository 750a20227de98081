// Token distributions and the SentencePiece tokenizer.
#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>

#include "core/error.h"
#include "files/file.h"
#include "files/json.h"
#include "files/safetensors.h"
#include "files/sentencepiece.h"
#include "model/sampler.h"
#include "tests/parity.h"

namespace moshi {

void check_sampling(const Case& one, Report& report) {
  const Safetensors expected(one.file("expected.safetensors"));
  const Json configs = Json::parse(read_whole(one.file("configs.json"), 1 << 20), "configs.json");
  std::vector<float> logits = expected.floats("logits");
  const size_t rows = static_cast<size_t>(expected.info("logits").shape.at(0)),
               card = static_cast<size_t>(expected.info("logits").shape.at(1));
  const auto row = [&](std::vector<float>& values, size_t r) {
    return std::span<float>(values).subspan(r * card, card);
  };
  if (expected.has("greedy")) {
    std::vector<int64_t> got;
    for (size_t r = 0; r < rows; ++r) got.push_back(greedy(row(logits, r)));
    report.same("greedy", got, expected.integers("greedy"));
  }
  for (const Json& config : configs.find("configs")->items()) {
    const std::string name = config.find("name")->string("name");
    const SamplingRule rule{static_cast<float>(config.find("temp")->number("temp")),
                            static_cast<int>(config.find("top_k")->integer("top_k")),
                            static_cast<float>(config.find("top_p")->number("top_p"))};
    for (const char* kind : {"weights.", "probs."}) {
      std::vector<float> want = expected.floats(kind + name), got;
      for (size_t r = 0; r < rows; ++r) {
        std::vector<float> weights = token_weights(row(logits, r), rule);
        double total = 0;
        for (const float weight : weights) total += weight;
        if (kind[0] == 'p')
          for (float& weight : weights) weight = static_cast<float>(weight / total);
        // Which of equally likely tokens survive is an artifact of the reference's ordering: compare them as multisets.
        std::map<float, std::vector<size_t>> ties;
        const std::vector<float> level = token_weights(row(logits, r), {rule.temperature, 0, 0});
        for (size_t i = 0; i < card; ++i) ties[level[i]].push_back(i);
        const auto sort_within = [&](std::span<float> values, const std::vector<size_t>& places) {
          std::vector<float> sorted;
          for (const size_t place : places) sorted.push_back(values[place]);
          std::sort(sorted.begin(), sorted.end());
          for (size_t i = 0; i < places.size(); ++i) values[places[i]] = sorted[i];
        };
        for (const auto& [weight, places] : ties) {
          sort_within(weights, places);
          sort_within(row(want, r), places);
        }
        got.insert(got.end(), weights.begin(), weights.end());
      }
      report.close(kind + name, got, want);
    }
  }
}

void check_sentencepiece(const Case& one, Report& report) {
  std::vector<std::string> suffixes;
  for (const auto& entry : std::filesystem::directory_iterator(one.folder)) {
    const std::string leaf = entry.path().filename().string();
    std::smatch match;
    if (std::regex_match(leaf, match, std::regex("cases(.*)\\.json"))) suffixes.push_back(match[1].str());
  }
  std::sort(suffixes.begin(), suffixes.end());
  for (const std::string& suffix : suffixes) {
    const SentencePiece tokenizer(one.file("tokenizer" + suffix + ".model"));
    const Json cases =
        Json::parse(read_whole(one.file("cases" + suffix + ".json"), 8 << 20), "cases" + suffix + ".json");
    int64_t ids = 0, pieces = 0, decoded = 0, total = 0, decodes = 0, decode_total = 0;
    std::string first;
    for (const Json& item : cases.find("cases")->items()) {
      const std::string& text = item.find("text")->string("text");
      const auto tokens = tokenizer.encode(text);
      std::vector<int> got, want;
      std::vector<std::string> got_pieces, want_pieces;
      for (const auto& token : tokens) got.push_back(token.id), got_pieces.push_back(token.piece);
      for (const Json& id : item.find("ids")->items()) want.push_back(static_cast<int>(id.integer("id")));
      for (const Json& piece : item.find("pieces")->items()) want_pieces.push_back(piece.string("piece"));
      if (got != want && first.empty()) first = "'" + text + "'";
      ids += got != want;
      pieces += got_pieces != want_pieces;
      decoded += tokenizer.decode(want) != item.find("decoded")->string("decoded");
      ++total;
    }
    for (const Json& item : cases.find("decode")->items()) {
      std::vector<int> list;
      for (const Json& id : item.find("ids")->items()) list.push_back(static_cast<int>(id.integer("id")));
      decodes += tokenizer.decode(list) != item.find("decoded")->string("decoded");
      ++decode_total;
    }
    report.same_text("ids" + suffix, ids, total, first);
    report.same_text("pieces" + suffix, pieces, total, "");
    report.same_text("decoded" + suffix, decoded, total, "");
    report.same_text("decode" + suffix, decodes, decode_total, "");
    if (!one.has("vocab" + suffix + ".json")) continue;
    const Json vocab = Json::parse(read_whole(one.file("vocab" + suffix + ".json"), 8 << 20), "vocab");
    int64_t differing = 0, id = 0;
    for (const Json& entry : vocab.find("pieces")->items()) {
      const auto& piece = tokenizer.piece(static_cast<int>(id++));
      differing += piece.text != entry.items()[0].string("piece") ||
                   piece.score != static_cast<float>(entry.items()[1].number("score"));
    }
    report.same_text("vocab" + suffix, differing + (id != tokenizer.size()), id, "");
  }
}

}  // namespace moshi
