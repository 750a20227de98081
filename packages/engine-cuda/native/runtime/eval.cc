#include "runtime/eval.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "model/generation.h"

namespace moshi {

namespace {

// Conversations stepped together: one read of the weights serves them all.
constexpr size_t kTogether = 8;
// Frames of a recording encoded at once; bounds memory.
constexpr int64_t kEncodedAtOnce = 16;

// What the reference saw and drew on one step; distributions text first, none while its codebooks are still delayed.
struct Step {
  std::vector<int32_t> input;  // [streams]
  std::vector<Distribution> drawn;
  std::vector<float> hidden;
};
using Conversation = std::vector<Step>;
using Codes = std::vector<int32_t>;  // [frames, user codebooks]

// The language models that can be compared with each other.
void check_pair(const LmConfig& a, const LmConfig& b) {
  if (a.dialect != b.dialect || a.delays != b.delays || a.card != b.card || a.text_card != b.text_card ||
      a.text_card_out != b.text_card_out || a.own_codebooks() != b.own_codebooks() ||
      a.generated_codebooks != b.generated_codebooks || a.audio_codebooks != b.audio_codebooks)
    throw Error(kBadModel,
                "the two models do not speak the same tokens and cannot be compared: give two forms of one model");
}

// Frames to take of every recording: as evenly as their lengths allow, the first frames of each.
std::vector<int64_t> shares(const std::vector<std::vector<float>>& recordings, int64_t frame_samples, int64_t frames) {
  std::vector<int64_t> out;
  for (const auto& pcm : recordings) out.push_back(static_cast<int64_t>(pcm.size()) / frame_samples);
  std::vector<size_t> shortest_first(out.size());
  std::iota(shortest_first.begin(), shortest_first.end(), size_t{0});
  std::sort(shortest_first.begin(), shortest_first.end(), [&](size_t a, size_t b) { return out[a] < out[b]; });
  int64_t left = frames, sharing = static_cast<int64_t>(out.size());
  for (const size_t i : shortest_first) {
    out[i] = std::min(out[i], (left + sharing - 1) / sharing);
    left -= out[i], --sharing;
  }
  return out;
}

std::vector<Codes> encode(const EvalOptions& options, const LmConfig& config) {
  const auto backend = options.backend(Inputs::Codes);
  const CheckpointFiles& files = options.tested.files;
  const auto mimi = load_mimi(files.mimi, files.mimi_config, *backend);
  const int codebooks = config.user_codebooks();
  if (mimi->quantizer().codebooks() < codebooks || mimi->quantizer().bins() != config.card)
    throw Error(kBadModel, "codec and language model do not belong together: the codes of one are not the other's");
  const int64_t samples = mimi->frame_samples();
  const std::vector<int64_t> wanted = shares(options.recordings, samples, options.frames);
  const int64_t all = std::accumulate(wanted.begin(), wanted.end(), int64_t{0});
  std::vector<Codes> out;
  int64_t done = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    Codes codes(static_cast<size_t>(wanted[i] * codebooks));
    MimiState state = mimi->make_encoder(kEncodedAtOnce);
    for (int64_t f = 0, n; f < wanted[i]; f += n, done += n) {
      n = std::min(kEncodedAtOnce, wanted[i] - f);
      options.progress(EvalStage::Encoding, done, all);
      mimi->encode(state, &options.recordings[i][static_cast<size_t>(f * samples)], n, codebooks,
                   &codes[static_cast<size_t>(f * codebooks)]);
    }
    if (!codes.empty()) out.push_back(std::move(codes));
  }
  if (out.empty()) throw Error(kBadOption, "the recordings hold not one frame of 80 ms: give longer ones");
  return out;
}

// Counts the frames of one pass.
class Counter {
 public:
  Counter(const EvalProgress& progress, EvalStage stage, int64_t all) : progress_(progress), stage_(stage), all_(all) {
    progress_(stage_, 0, all_);
  }
  void add(size_t frames) { progress_(stage_, done_ += static_cast<int64_t>(frames), all_); }

 private:
  const EvalProgress& progress_;
  EvalStage stage_;
  int64_t all_, done_ = 0;
};

// Until all streams have begun some tokens are given, not drawn.
bool counts(const LmConfig& config, const Generation& generation) {
  return generation.steps() > config.max_delay();
}

std::vector<Conversation> converse(const Lm& lm, std::span<const Codes> codes, Counter& counter) {
  const LmConfig& config = lm.config();
  const size_t user = static_cast<size_t>(config.user_codebooks()), card = static_cast<size_t>(config.card);
  SamplingOptions greedy;
  greedy.text.temperature = greedy.audio.temperature = 0;
  std::vector<Generation> generations;
  generations.reserve(codes.size());
  for (size_t i = 0; i < codes.size(); ++i) generations.emplace_back(lm, greedy);
  std::vector<Conversation> out(codes.size());
  std::vector<StepTrace> traces;
  for (size_t frame = 0;; ++frame) {
    std::vector<Generation*> all;
    std::vector<StepInput> inputs;
    std::vector<size_t> who;
    for (size_t i = 0; i < codes.size(); ++i) {
      if ((frame + 1) * user > codes[i].size()) continue;
      all.push_back(&generations[i]);
      inputs.push_back({&codes[i][frame * user]});
      who.push_back(i);
    }
    if (all.empty()) return out;
    const bool counted = counts(config, *all[0]);
    Generation::step(lm, all, inputs, &traces);
    counter.add(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      StepTrace& trace = traces[i];
      if (trace.input.empty()) continue;  // PersonaPlex's first frame runs no model
      Step step{std::move(trace.input), {}, {}};
      if (counted) {
        step.drawn.push_back(distribution(trace.text_logits));
        for (size_t k = 0; k < trace.audio.size(); ++k)
          step.drawn.push_back(distribution({&trace.audio_logits[k * card], card}));
        step.hidden = std::move(trace.hidden);
      }
      out[who[i]].push_back(std::move(step));
    }
  }
}

class Test {
 public:
  explicit Test(const Lm& lm) : lm_(lm) { quality_.audio.resize(static_cast<size_t>(lm.codebooks())); }

  void lead(std::span<const Conversation> conversations, Counter& counter);
  Quality result() const {
    Quality out = quality_;
    out.hidden = out.frames > 0 ? out.hidden / static_cast<double>(out.frames) : out.hidden;
    return out;
  }

 private:
  void score(const Step& step, std::span<const float> hidden, std::span<const float> text_logits);
  void draw(std::span<const Step* const> steps, const std::vector<float>& hidden,
            std::span<TransformerState* const> depths);

  const Lm& lm_;
  Quality quality_;
};

void Test::score(const Step& step, std::span<const float> hidden, std::span<const float> text_logits) {
  const LmConfig& config = lm_.config();
  const Distribution& text = step.drawn[0];
  const Difference difference = compare(text, text_logits);
  quality_.text.add(text, difference);
  if (text.likeliest != config.text_padding && text.likeliest != config.text_end_padding)
    quality_.words.add(text, difference);
  quality_.hidden +=
      hidden.size() == step.hidden.size() ? cosine(step.hidden, hidden) : std::numeric_limits<double>::quiet_NaN();
  ++quality_.frames;
}

// Every codebook after the reference's own draws of those before it.
void Test::draw(std::span<const Step* const> steps, const std::vector<float>& hidden,
                std::span<TransformerState* const> depths) {
  const size_t card = static_cast<size_t>(lm_.config().card);
  std::vector<float> logits(steps.size() * card);
  std::vector<int32_t> previous(steps.size());
  for (size_t k = 0; k < quality_.audio.size(); ++k) {
    std::vector<Row> rows;
    for (size_t i = 0; i < steps.size(); ++i) {
      previous[i] = steps[i]->drawn[k].likeliest;
      depths[i]->position = static_cast<int64_t>(k);
      depths[i]->extend(rows, 1, 0);
    }
    lm_.depth(static_cast<int>(k), previous.data(), hidden.data(), rows, logits.data());
    for (size_t i = 0; i < steps.size(); ++i) {
      const Distribution& wanted = steps[i]->drawn[1 + k];
      quality_.audio[k].add(wanted, compare(wanted, {&logits[i * card], card}));
    }
  }
}

void Test::lead(std::span<const Conversation> conversations, Counter& counter) {
  const LmConfig& config = lm_.config();
  const size_t dim = static_cast<size_t>(lm_.dim()), text_card = static_cast<size_t>(config.text_card_out);
  std::vector<TransformerState> temporal, depth;
  for (size_t i = 0; i < conversations.size(); ++i) {
    temporal.push_back(lm_.make_temporal());
    if (lm_.codebooks() > 0) depth.push_back(lm_.make_depth());
    temporal.back().fork = config.dialect == Dialect::PersonaPlex;
  }
  for (TransformerState& ring : depth) ring.fork = config.dialect == Dialect::PersonaPlex;
  for (size_t at = 0;; ++at) {
    std::vector<const Step*> steps;
    std::vector<TransformerState*> depths;
    std::vector<int32_t> tokens;
    std::vector<Row> rows;
    for (size_t i = 0; i < conversations.size(); ++i) {
      if (at >= conversations[i].size()) continue;
      steps.push_back(&conversations[i][at]);
      tokens.insert(tokens.end(), steps.back()->input.begin(), steps.back()->input.end());
      temporal[i].extend(rows, 1, config.temporal.context);
      if (!depth.empty()) depths.push_back(&depth[i]);
    }
    if (steps.empty()) return;
    std::vector<float> hidden(steps.size() * dim), text_logits(steps.size() * text_card);
    lm_.temporal(tokens.data(), rows, hidden.data(), text_logits.data());
    counter.add(steps.size());
    // All conversations begin together, so either all of them count or none.
    if (steps[0]->drawn.empty()) continue;
    for (size_t i = 0; i < steps.size(); ++i)
      score(*steps[i], {&hidden[i * dim], dim}, {&text_logits[i * text_card], text_card});
    draw(steps, hidden, depths);
  }
}

}  // namespace

Quality evaluate(const EvalOptions& options) {
  const LmFile reference(options.reference.files), tested(options.tested.files);
  check_pair(reference.config(), tested.config());
  const std::vector<Codes> codes = encode(options, tested.config());
  int64_t frames = 0;
  for (const Codes& one : codes) frames += static_cast<int64_t>(one.size()) / tested.config().user_codebooks();
  const auto groups = [](const auto& all, auto task) {
    for (size_t i = 0; i < all.size(); i += kTogether)
      task(std::span(all).subspan(i, std::min(kTogether, all.size() - i)));
  };

  std::vector<Conversation> conversations;
  {
    const auto backend = options.backend(Inputs::Floats);
    const auto lm = reference.load(*backend, true);
    Counter counter(options.progress, EvalStage::Reference, frames);
    groups(codes, [&](std::span<const Codes> some) {
      for (Conversation& one : converse(*lm, some, counter)) conversations.push_back(std::move(one));
    });
  }
  const auto backend = options.backend(Inputs::Codes);
  const auto lm = tested.load(*backend, true);
  Test test(*lm);
  Counter counter(options.progress, EvalStage::Tested, frames);
  groups(conversations, [&](std::span<const Conversation> some) { test.lead(some, counter); });
  Quality quality = test.result();
  quality.precision = tested.precision();
  if (quality.frames == 0)
    throw Error(kBadOption, "the recordings are shorter than the model's delay: give longer ones, or more frames");
  return quality;
}

}  // namespace moshi
