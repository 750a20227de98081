// The bench of whole frames: conversations from sound to sound, in groups that take turns.
#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "model/generation.h"
#include "runtime/bench_parts.h"

namespace moshi {

namespace {

// One frame of a group; milliseconds, and what the yardstick gave around the language model's part.
struct Frame {
  double encode, lm, decode, moving;
  Costs costs;
};

struct Conversation {
  Generation generation;
  MimiState encoder, decoder;
  std::vector<int32_t> codes, tokens;
};

// Conversations that are stepped together.
class Group {
 public:
  Group(const Lm& lm, const Mimi& mimi, TimedBackend& backend, int count) : lm_(lm), mimi_(mimi), backend_(backend) {
    const LmConfig& config = lm.config();
    heard_ = config.user_codebooks();
    spoken_ = config.own_codebooks();
    all_.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      SamplingOptions sampling;
      sampling.text = {config.text_temperature, config.text_top_k, 0};
      sampling.audio = {config.temperature, config.top_k, 0};
      sampling.text_seed = sampling.audio_seed = static_cast<uint64_t>(i);
      all_.push_back({Generation(lm, sampling), mimi.make_encoder(), mimi.make_decoder(),
                      std::vector<int32_t>(static_cast<size_t>(std::max(1, heard_))),
                      std::vector<int32_t>(static_cast<size_t>(1 + spoken_))});
    }
    for (Conversation& one : all_) {
      generations_.push_back(&one.generation);
      inputs_.push_back({one.codes.data()});
    }
  }

  // Counting what it costs gets in the way of a GPU: there, frames that are timed go without.
  Frame frame(Yardstick& yardstick, bool count) {
    Frame out;
    const std::vector<float> pcm = noise(mimi_.frame_samples(), count_++);
    const auto each = [&](int codebooks, auto task) {
      return milliseconds([&] {
        if (codebooks > 0) backend_.share(static_cast<int64_t>(all_.size()), task);
      });
    };
    out.encode = each(heard_, [&](int64_t begin, int64_t end) { encode(begin, end, pcm); });
    Beside beside(yardstick);
    out.lm = milliseconds([&] {
      if (count) backend_.begin(Part::Embeddings);
      Generation::step(lm_, generations_, inputs_);
      if (count) out.costs = backend_.end();
    });
    out.moving = beside.moving();
    out.decode = each(spoken_, [&](int64_t begin, int64_t end) { decode(begin, end); });
    return out;
  }

  void come_to(int64_t position) {
    for (Conversation& one : all_) {
      one.generation.come_to(backend_, position);
      // So long a conversation has filled the codec's rings.
      const int64_t full = std::min(2 * position, mimi_.config().transformer.context + 1);
      if (full <= 4) continue;
      if (heard_ > 0) advance(one.encoder.transformer, backend_, full);
      if (spoken_ > 0) advance(one.decoder.transformer, backend_, full);
    }
  }

 private:
  void encode(int64_t begin, int64_t end, const std::vector<float>& pcm) {
    const auto codebooks = static_cast<size_t>(heard_);
    std::vector<MimiState*> states;
    std::vector<float> sound;
    for (int64_t i = begin; i < end; ++i) {
      states.push_back(&all_[static_cast<size_t>(i)].encoder);
      sound.insert(sound.end(), pcm.begin(), pcm.end());
    }
    std::vector<int32_t> codes(states.size() * codebooks);
    mimi_.encode(states, sound.data(), 1, heard_, codes.data());
    for (size_t i = 0; i < states.size(); ++i)
      std::copy_n(&codes[i * codebooks], codebooks, all_[static_cast<size_t>(begin) + i].codes.data());
  }
  void decode(int64_t begin, int64_t end) {
    std::vector<MimiState*> states;
    std::vector<int32_t> codes;
    for (int64_t i = begin; i < end; ++i) {
      Conversation& one = all_[static_cast<size_t>(i)];
      one.generation.emitted(one.tokens);
      states.push_back(&one.decoder);
      codes.insert(codes.end(), one.tokens.begin() + 1, one.tokens.begin() + 1 + spoken_);
    }
    std::vector<float> sound(states.size() * static_cast<size_t>(mimi_.frame_samples()));
    mimi_.decode(states, codes.data(), 1, spoken_, sound.data());
  }

  const Lm& lm_;
  const Mimi& mimi_;
  TimedBackend& backend_;
  int heard_, spoken_;
  std::vector<Conversation> all_;
  std::vector<Generation*> generations_;
  std::vector<StepInput> inputs_;
  uint32_t count_ = 0;
};

// counted: the frame after them, where they were not counted.
FrameTimes summary(const std::vector<Frame>& frames, const std::vector<Frame>& of_first, const Frame* counted) {
  FrameTimes out;
  out.frames = static_cast<int>(frames.size());
  const auto times = [&](auto of) {
    std::vector<double> values;
    for (const Frame& one : frames) values.push_back(of(one));
    return quickest(values);
  };
  out.encode = times([](const Frame& one) { return one.encode; });
  out.lm = times([](const Frame& one) { return one.lm; });
  out.decode = times([](const Frame& one) { return one.decode; });
  out.total = times([](const Frame& one) { return one.encode + one.lm + one.decode; });
  // Of the frame half way: while a ring fills, each reads more than the one before.
  const Cost half_way = (counted ? *counted : frames[frames.size() / 2]).costs.total();
  out.weight_bytes = half_way.weight_bytes;
  out.kv_bytes = half_way.kv_bytes;
  std::vector<double> all_ratios, linear_ratios, over_first;
  for (size_t i = 0; i < frames.size(); ++i) {
    const Frame& one = frames[i];
    const Costs& costs = (counted ? *counted : one).costs;
    const Cost whole = costs.total(), linear = costs.total(Kind::Linear);
    const auto read = static_cast<double>(whole.weight_bytes + whole.kv_bytes);
    all_ratios.push_back(read * 1000 / one.lm / one.moving);
    linear_ratios.push_back(static_cast<double>(linear.weight_bytes) / linear.seconds / one.moving);
    over_first.push_back(one.lm / of_first[i].lm);
  }
  out.of_read = middle(all_ratios);
  out.over_first = middle(over_first);
  if (counted) return out;
  out.linear_of_read = middle(linear_ratios);
  out.stages = stages_of(fastest_frame(frames, [](const Frame& one) { return one.lm; }).costs);
  return out;
}

}  // namespace

std::optional<Tuned> Bench::tune(int64_t position) {
  if (!gpu_ || !lm_) return std::nullopt;
  Group group(*lm_, *mimi_, *timed_, 1);
  const std::unique_ptr<Yardstick> none = yardstick(1);
  const auto best = [&](int frames) {
    double out = INFINITY;
    for (int i = 0; i < frames; ++i) out = std::min(out, group.frame(*none, false).lm);
    return out;
  };
  best(2);
  group.come_to(position);
  return timed_->tune([&] {
    best(kWarmUp);
    return best(kFewest);
  });
}

std::vector<FrameTimes> Bench::frames(const std::vector<int>& sessions, int64_t position, int frames) const {
  if (!lm_) throw Error(kBadOption, "a codec alone has no conversations");
  const LmConfig& config = lm_->config();
  const int needed = std::max(config.user_codebooks(), config.own_codebooks());
  if (needed > codebooks())
    throw Error(kBadModel, "the codec has " + std::to_string(codebooks()) + " codebooks, the model needs " +
                               std::to_string(needed));
  const std::unique_ptr<Yardstick> plain = yardstick(std::min<uint64_t>(kBesideBytes, size_));
  std::vector<Group> groups;
  groups.reserve(sessions.size());
  for (const int count : sessions) groups.emplace_back(*lm_, *mimi_, *timed_, count);
  for (Group& group : groups) {
    // A first frame may run no model; after the second the rings have a page to fill them from.
    for (int i = 0; i < 2; ++i) group.frame(*plain, !gpu_);
    group.come_to(position);
    for (int i = 0; i < kWarmUp; ++i) group.frame(*plain, !gpu_);
  }
  std::vector<std::vector<Frame>> measured(groups.size());
  double spent = 0;
  for (int round = 0; round < frames; ++round) {
    for (size_t g = 0; g < groups.size(); ++g) {
      measured[g].push_back(groups[g].frame(*plain, !gpu_));
      const Frame& last = measured[g].back();
      spent += last.encode + last.lm + last.decode;
    }
    if (spent > kPatience * static_cast<double>(groups.size()) && round + 1 >= kFewest) break;
  }
  std::vector<FrameTimes> out;
  for (size_t g = 0; g < groups.size(); ++g) {
    std::optional<Frame> counted;
    if (gpu_) counted = groups[g].frame(*plain, true);
    out.push_back(summary(measured[g], measured[0], counted ? &*counted : nullptr));
  }
  return out;
}

}  // namespace moshi
