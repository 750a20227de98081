// The quality gate: numbers against arithmetic by hand, and a model against itself and against worse forms of it.
#include <cmath>

#include "core/error.h"
#include "runtime/eval.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

bool near(double a, double b) {
  return std::fabs(a - b) < 1e-6;
}

void check_divergence() {
  // Probabilities 1/2, 1/4, 1/4 against 1/4, 1/2, 1/4.
  const std::vector<float> a = {std::log(2.0f), 0, 0}, b = {0, std::log(2.0f), 0};
  const Distribution reference = distribution(a);
  expect(reference.likeliest == 0 && near(reference.log_prob, std::log(0.5)), "divergence: the likeliest token");
  const Difference same = compare(reference, a), other = compare(reference, b);
  expect(same.divergence == 0 && same.rank == 1, "divergence: none from itself");
  expect(near(other.divergence, 0.25 * std::log(2.0)), "divergence: Kullback-Leibler in nats");
  expect(other.rank == 2 && near(other.log_prob, std::log(0.25)), "divergence: rank and probability of the token");
  const std::vector<float> tie = {1, 1, 1};
  expect(compare(distribution(tie), tie).rank == 1, "divergence: the first among equals");

  StreamQuality stream;
  expect(stream.count() == 0 && std::isnan(stream.agreement()), "divergence: no draws, no mean");
  stream.add(reference, same);
  stream.add(reference, other);
  expect(near(stream.agreement(), 0.5) && near(stream.rank(), 1.5) && near(stream.divergence(), std::log(2.0) / 8),
         "divergence: means");
  expect(near(stream.reference_perplexity(), 2) && near(stream.perplexity(), std::sqrt(8.0)),
         "divergence: perplexities");

  // A vocabulary of which only the likeliest are kept: the rest counts as one token.
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> large(32000), shaken(large);
  for (size_t i = 0; i < large.size(); ++i) large[i] = 4 * normal(random), shaken[i] = large[i] + normal(random) / 2;
  double pa = 0, pb = 0, exact = 0;
  for (size_t i = 0; i < large.size(); ++i) pa += std::exp(double{large[i]}), pb += std::exp(double{shaken[i]});
  for (size_t i = 0; i < large.size(); ++i)
    exact += std::exp(double{large[i]}) / pa * (double{large[i]} - shaken[i] - std::log(pa / pb));
  const Distribution kept = distribution(large);
  const double found = compare(kept, shaken).divergence;
  expect(kept.tokens.size() == 256 && compare(kept, large).divergence == 0, "divergence: of a large vocabulary");
  expect(found > exact / 2 && found <= exact * 1.0001, "divergence: what is not kept makes it a lower bound");

  const std::vector<float> broken = {NAN, NAN, NAN};
  compare(distribution(broken), broken);
  compare(reference, broken);
  expect(refused([&] { distribution({}); }) && refused([&] { compare(reference, large); }),
         "divergence: other vocabularies are refused");
  const std::vector<float> x = {1, 0}, y = {1, 1};
  expect(near(cosine(x, x), 1) && near(cosine(x, y), std::sqrt(0.5)), "divergence: cosine");
}

}  // namespace

void check_eval(const std::string& folder) {
  check_divergence();
  const CheckpointFiles files{folder + "/config.json", folder + "/model.safetensors", folder + "/mimi.safetensors",
                              folder + "/mimi_config.json", folder + "/tokenizer.model"};
  EvalOptions options;
  options.tested.files = options.reference.files = files;
  options.backend = [](Inputs inputs) { return std::make_unique<CpuBackend>(2, nullptr, inputs); };
  std::mt19937 random(8);
  std::normal_distribution<float> noise(0, 0.1f);
  for (const size_t frames : {10, 3, 16}) {
    options.recordings.emplace_back(frames * 1920 + 100);
    for (float& sample : options.recordings.back()) sample = noise(random);
  }
  options.frames = 23;  // 3 of the shortest, 10 of the others
  int64_t led = 0;
  options.progress = [&](EvalStage stage, int64_t done, int64_t all) {
    if (stage == EvalStage::Tested) led = done;
    expect(done <= all && all <= 23, "eval: progress stays within its frames");
  };

  const Quality self = evaluate(options);
  expect(self.frames == 17 && led == 23, "eval: all frames but those of the delay are compared");
  expect(self.text.agreement() == 1 && self.text.divergence() == 0 && self.text.rank() == 1, "eval: itself, in text");
  expect(self.audio.size() > 1 && self.text.count() == self.frames, "eval: every codebook has its numbers");
  for (const StreamQuality& stream : self.audio)
    expect(stream.count() == self.frames && stream.agreement() == 1 && stream.divergence() == 0,
           "eval: itself, in sound");
  expect(near(self.hidden, 1) && self.text.perplexity() == self.text.reference_perplexity(),
         "eval: itself, in all else");

  const auto audio = [](const Quality& quality, auto value) {
    double sum = 0;
    for (const StreamQuality& stream : quality.audio) sum += value(stream);
    return sum / static_cast<double>(quality.audio.size());
  };
  const auto divergence = [](const StreamQuality& stream) { return stream.divergence(); };
  options.tested.files.weights = Precision::Q8;
  const Quality q8 = evaluate(options);
  options.tested.files.weights = Precision::Q4;
  const Quality q4 = evaluate(options);
  expect(audio(q8, divergence) > 0 && q8.hidden < 1, "eval: eight bits are not quite the same");
  expect(q4.hidden < q8.hidden && audio(q4, divergence) > audio(q8, divergence), "eval: four bits are worse");

  // The reference decides the tokens: the other way round the frames are the same, the numbers are not.
  options.tested.files.weights = Precision::Stored;
  options.tested.files.kv = KvType::Q8;
  const Quality ring = evaluate(options);
  expect(ring.hidden < 1 && ring.hidden > q8.hidden - 0.1, "eval: a ring of 8 bits shows");

  EvalOptions bad = options;
  bad.recordings = {std::vector<float>(1000)};
  expect(refused([&] { evaluate(bad); }), "eval: recordings of less than a frame are refused");
  bad.recordings = {std::vector<float>(1920)};
  expect(refused([&] { evaluate(bad); }), "eval: recordings of less than the delay are refused");
  bad = options;
  int calls = 0;
  bad.progress = [&](EvalStage, int64_t, int64_t) {
    if (++calls == 20) throw Error(kClosed, "enough");
  };
  expect(refusal([&] { evaluate(bad); }) == "enough" && calls == 20, "eval: its progress may end it");
}

}  // namespace moshi
