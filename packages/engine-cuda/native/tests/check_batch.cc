// Conversations that join and leave a batch at random: each must come out as if it had been alone, to the bit, in every
// type of weights and of ring, on one thread and on several.
#include "runtime/checkpoint.h"
#include "tests/checks.h"
#include "tests/talks.h"

namespace moshi {

namespace {

constexpr int kConversations = 6, kSteps = 14;

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
    std::vector<Record> single;
    for (const int threads : {1, 3}) {
      CpuBackend backend(threads);
      const auto lm = LmFile(files).load(backend, false);
      for (int i = 0; threads == 1 && i < kConversations; ++i) single.push_back(alone(*lm, i, kSteps, true));
      const std::vector<Record> crowd = in_company(*lm, kConversations, kSteps, random, 1);
      bool same = true;
      for (size_t i = 0; i < crowd.size(); ++i) same &= crowd[i].same(single[i]);
      const std::string name = std::string("batch: ") + precision_name(weights) + " weights, " + kv_type_name(kv) +
                               " ring, " + std::to_string(threads) + " threads: ";
      expect(same, name + "company changes no bit");
      expect(crowd[0].said != crowd[1].said, name + "conversations differ");
    }
  }
}

}  // namespace moshi
