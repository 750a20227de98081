// Conversations that join and leave a batch at random: each must come out as if it had been alone, to the bit, in every
// type of weights and of ring, on one thread and on several.
#include <random>

#include "model/generation.h"
#include "runtime/checkpoint.h"
#include "tests/checks.h"

namespace moshi {

namespace {

constexpr int kConversations = 6, kSteps = 14;

struct Talk {
  Talk(const Lm& lm, int number) : generation(lm, options(number)), number(number) {}
  static SamplingOptions options(int number) {
    SamplingOptions out;
    out.text_seed = static_cast<uint64_t>(number);
    out.audio_seed = static_cast<uint64_t>(number + 1);
    return out;
  }
  // What the user says on its next step.
  std::vector<int32_t> user(const LmConfig& config) const {
    std::vector<int32_t> out;
    for (int k = 0; k < config.user_codebooks(); ++k)
      out.push_back(static_cast<int32_t>((number * 131 + generation.steps() * 17 + k * 29) % config.card));
    return out;
  }

  Generation generation;
  int number;
  std::vector<int32_t> drawn;  // every token, step after step
  std::vector<float> logits;   // of the last codebook, which hang on everything before
};

void step(const Lm& lm, const std::vector<Talk*>& talks) {
  std::vector<Generation*> generations;
  std::vector<std::vector<int32_t>> users;
  std::vector<StepInput> inputs;
  std::vector<StepTrace> traces;
  for (Talk* talk : talks) {
    generations.push_back(&talk->generation);
    users.push_back(talk->user(lm.config()));
  }
  for (const auto& user : users) inputs.push_back({user.data()});
  Generation::step(lm, generations, inputs, &traces);
  for (size_t i = 0; i < talks.size(); ++i) {
    const StepTrace& trace = traces[i];
    talks[i]->drawn.push_back(trace.text);
    talks[i]->drawn.insert(talks[i]->drawn.end(), trace.audio.begin(), trace.audio.end());
    talks[i]->logits.insert(talks[i]->logits.end(), trace.audio_logits.begin(), trace.audio_logits.end());
  }
}

}  // namespace

void check_batch(const std::string& folder) {
  CheckpointFiles files{folder + "/config.json", folder + "/model.safetensors", "", "", ""};
  std::mt19937 random(3);
  for (const auto& [weights, kv] : {std::pair{Precision::Stored, KvType::F32},
                                    {Precision::BF16, KvType::F16},
                                    {Precision::F16, KvType::F16},
                                    {Precision::Q8, KvType::F16},
                                    {Precision::Mixed, KvType::Q8},
                                    {Precision::Q4, KvType::Q8}}) {
    files.weights = weights;
    files.kv = kv;
    std::vector<Talk> alone;
    for (const int threads : {1, 3}) {
      CpuBackend backend(threads);
      const auto lm = LmFile(files).load(backend, false);
      if (threads == 1) {
        for (int i = 0; i < kConversations; ++i) {
          alone.emplace_back(*lm, i);
          for (int s = 0; s < kSteps; ++s) step(*lm, {&alone.back()});
        }
      }
      std::vector<Talk> crowd;
      for (int i = 0; i < kConversations; ++i) crowd.emplace_back(*lm, i);
      for (bool any = true; any;) {
        any = false;
        std::vector<Talk*> now;
        for (Talk& talk : crowd) {
          if (talk.generation.steps() == kSteps) continue;
          any = true;
          if (random() % 3 > 0) now.push_back(&talk);
        }
        if (!now.empty()) step(*lm, now);
      }
      bool same = true;
      for (size_t i = 0; i < crowd.size(); ++i)
        same &= crowd[i].drawn == alone[i].drawn && crowd[i].logits == alone[i].logits && !crowd[i].logits.empty();
      const std::string name = std::string("batch: ") + precision_name(weights) + " weights, " + kv_type_name(kv) +
                               " ring, " + std::to_string(threads) + " threads: ";
      expect(same, name + "company changes no bit");
      expect(crowd[0].drawn != crowd[1].drawn, name + "conversations differ");
    }
  }
}

}  // namespace moshi
