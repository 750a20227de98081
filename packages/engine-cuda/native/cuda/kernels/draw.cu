// A token for each row of logits [n, card], as model/sampler.h draws it. Grid (n), any number of whole warps.
// Everything that is summed is a whole number, so that no order of threads changes it. A token's depth is how far its
// logit, divided by the temperature, lies below the highest: never negative, so that depths are ordered as their bits
// are; a NaN's bits are beyond all others. Its weight is e^-depth.
#include "cuda/kernels/draw.h"

#include "cuda/kernels/meeting.h"
#include "model/device_data.h"

namespace moshi {

namespace {

using namespace gpu;

constexpr uint32_t kDeepest = 0x42000000u;  // of 32; what is deeper weighs nothing
constexpr int32_t kAllTies = 0x7fffffff;

// The row's tokens among which one is drawn, in order of their ids.
struct Line {
  const uint32_t* depths;  // [count]
  const int32_t* ids;      // [count]; null: their places
  int count;
};

// The tokens that may be drawn: all less deep than `depth`, and of those just as deep the first `ties`.
struct Limit {
  uint32_t depth = kDeepest;
  int32_t ties = kAllTies;
};

GPU_DEVICE float value_of(uint32_t depth) {
  return __builtin_bit_cast(float, depth);
}

// The highest is 1.
GPU_DEVICE float weight_of(uint32_t depth) {
  return depth < kDeepest ? exponential(-value_of(depth)) : 0.0f;
}

// A sum of weights in units of 2^-40, which all of 2^16 tokens cannot make overflow.
GPU_DEVICE uint64_t units(float weight) {
  return static_cast<uint64_t>(weight * 0x1p40f);
}

GPU_DEVICE void penalize(const DrawData& row, const int32_t* recent, float* logits, int card) {
  recent += row.recent;
  for (int i = thread(); i < row.recent_count; i += threads()) {
    const int32_t token = recent[i];
    if (token < 0 || token >= card) continue;
    logits[token] = logits[token] > 0 ? logits[token] / row.penalty : logits[token] * row.penalty;
  }
}

// Ordered as logits are, the first among equals the highest; nothing is below a NaN.
GPU_DEVICE uint64_t rank_of(float logit, int token) {
  const uint32_t bits = logit == 0 ? 0 : __builtin_bit_cast(uint32_t, logit);
  const uint32_t ordered = logit != logit ? 0 : bits >> 31 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(ordered) << 32 | ~static_cast<uint32_t>(token);
}
GPU_DEVICE int token_of(uint64_t rank) {
  return static_cast<int>(~static_cast<uint32_t>(rank));
}

// Four depths that are looked at together.
struct Depths {
  uint32_t v[4];

  // For each of them, in 16 bits, whether a token of this depth is no deeper.
  GPU_DEVICE uint64_t reached_by(uint32_t depth) const {
    const uint32_t low = (depth <= v[0] ? 1u : 0u) | (depth <= v[1] ? 1u << 16 : 0u);
    const uint32_t high = (depth <= v[2] ? 1u : 0u) | (depth <= v[3] ? 1u << 16 : 0u);
    return static_cast<uint64_t>(high) << 32 | low;
  }
};

// A depth and how many tokens are no deeper.
struct Cut {
  uint32_t depth;
  int within;  // negative: not looked at, since there are too few
  int below;   // of those less deep; known where more than wanted are within
};

// The least depth within which so many are found; a little more of them will do where slack is given. Four looks at a
// time, since what takes long is that a block meets.
template <typename Count>
GPU_DEVICE Cut cut_at(int wanted, int slack, Count count) {
  uint32_t low = 0, high = kDeepest;
  Cut cut{high, -1, 0};
  for (int round = 0; low < high; ++round) {
    Depths depths;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      // Tokens are spread evenly by value rather than by bits; but bits come to an end.
      const auto part = static_cast<uint32_t>(i + 1);
      depths.v[i] = low + (high - low) / 5 * part;
      if (round >= 8) continue;
      const float whole = value_of(high) - value_of(low), share = 0.2f * static_cast<float>(part);
      depths.v[i] = __builtin_bit_cast(uint32_t, multiply_add(whole, share, value_of(low)));
    }
    const uint64_t counts = count(depths);
    bool found = false;
    GPU_UNROLL
    for (int i = 0; i < 4; ++i) {
      const auto within = static_cast<int>(counts >> 16 * i & 0xffffu);
      if (found) continue;
      if (within < wanted) {
        low = depths.v[i] + 1;
        cut.below = within;
        continue;
      }
      found = true;
      high = depths.v[i];
      cut.depth = high;
      cut.within = within;
    }
    if (found && cut.within - wanted <= slack) break;
  }
  return cut;
}

GPU_DEVICE Limit top_k_limit(const Line& line, int top_k, Meeting& meeting) {
  const Cut cut = cut_at(top_k, 0, [&](const Depths& depths) {
    uint64_t within = 0;
    for (int i = thread(); i < line.count; i += threads()) within += depths.reached_by(line.depths[i]);
    return meeting.over_block<Sum>(within);
  });
  return {cut.depth, cut.within > top_k ? top_k - cut.below : kAllTies};
}

// The normalized weights, summed in units of 2^-62: as exact as in double.
struct Nucleus {
  const Line& line;
  float share;  // 1 / the sum of all weights
  float top_p;

  // Adding zero keeps the product from what is done with it: it has to be rounded by itself.
  GPU_DEVICE float normalized(uint32_t depth) const { return multiply_add(weight_of(depth), share, 0.0f); }
  GPU_DEVICE static uint64_t fine(float weight) { return static_cast<uint64_t>(weight * 0x1p62f); }
  // Whether a token stays that brings the sum to `running`. Rounded a token at a time, as the reference does it: among
  // ties the rounding decides.
  GPU_DEVICE bool stays(uint64_t running, float weight) const {
    return !(static_cast<float>(running) * 0x1p-62f - weight > top_p);
  }
  GPU_DEVICE uint64_t above(uint32_t depth, Meeting& meeting) const {
    uint64_t sum = 0;
    for (int i = thread(); i < line.count; i += threads())
      if (line.depths[i] < depth) sum += fine(normalized(line.depths[i]));
    return meeting.over_block<Sum>(sum);
  }
};

GPU_DEVICE Limit top_p_limit(const Line& line, float top_p, Meeting& meeting) {
  uint64_t sum = 0;
  for (int i = thread(); i < line.count; i += threads()) sum += units(weight_of(line.depths[i]));
  sum = meeting.over_block<Sum>(sum);
  const Nucleus nucleus{line, static_cast<float>(0x1p40 / static_cast<double>(sum)), top_p};
  // The deepest token that stays; those in their order stay up to some point.
  uint32_t low = 0, high = kDeepest;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    // As the highest of what is left when each is taken from all there are.
    uint32_t rest = 0;
    for (int i = thread(); i < line.count; i += threads())
      if (line.depths[i] >= middle) rest = Max::join(rest, ~line.depths[i]);
    const uint32_t next = ~meeting.over_block<Max>(rest);
    const uint64_t before = nucleus.above(middle, meeting);
    const float weight = nucleus.normalized(next);
    if (next < kDeepest && nucleus.stays(before + Nucleus::fine(weight), weight))
      low = next;
    else
      high = middle;
  }
  uint32_t there = 0;
  for (int i = thread(); i < line.count; i += threads()) there += line.depths[i] == low;
  there = meeting.over_block<Sum>(there);
  const uint64_t before = nucleus.above(low, meeting);
  const float weight = nucleus.normalized(low);
  uint32_t ties = 1, refused = there + 1;
  while (refused - ties > 1) {
    const uint32_t middle = ties + (refused - ties) / 2;
    if (nucleus.stays(before + middle * Nucleus::fine(weight), weight))
      ties = middle;
    else
      refused = middle;
  }
  return {low, ties < there ? static_cast<int32_t>(ties) : kAllTies};
}

// The thread that finds the token calls found(token); nobody does when nothing weighs anything. Each takes neighbours,
// an odd number of them, since those lie in different banks.
template <typename Found>
GPU_DEVICE bool choose(const Line& line, const Limit& limit, float uniform, Meeting& meeting, Found found) {
  const int share = ((line.count + threads() - 1) / threads()) | 1;
  const int begin = thread() * share < line.count ? thread() * share : line.count;
  const int end = begin + share < line.count ? begin + share : line.count;
  int32_t tie = 0;
  if (limit.ties != kAllTies) {
    for (int i = begin; i < end; ++i) tie += line.depths[i] == limit.depth;
    tie = static_cast<int32_t>(meeting.prefix(static_cast<uint64_t>(tie)).before);
  }
  // Calls each(place, weight) for those of the thread's tokens that may be drawn.
  const auto drawable = [&](auto each) {
    int32_t ties = tie;
    for (int i = begin; i < end; ++i) {
      const uint32_t depth = line.depths[i];
      if (depth < limit.depth || (depth == limit.depth && ties++ < limit.ties)) each(i, units(weight_of(depth)));
    }
  };
  uint64_t mine = 0;
  drawable([&](int, uint64_t weight) { mine += weight; });
  const Prefix prefix = meeting.prefix(mine);
  const auto point = static_cast<uint64_t>(static_cast<double>(uniform) * static_cast<double>(prefix.total));
  if (point < prefix.before || point - prefix.before >= mine) return prefix.total != 0;
  uint64_t left = point - prefix.before;
  int place = -1;
  drawable([&](int i, uint64_t weight) {
    if (place >= 0) return;
    if (left < weight)
      place = i;
    else
      left -= weight;
  });
  found(line.ids ? line.ids[place] : place);
  return true;
}

// One row's logits, and what is known of them.
struct Row {
  const float* logits;
  int card;
  float temperature, top;

  GPU_DEVICE uint32_t depth(float logit) const { return __builtin_bit_cast(uint32_t, top - logit / temperature); }
};

// All tokens' depths.
GPU_DEVICE Line whole_line(const Row& row, uint32_t* depths) {
  for (int i = thread(); i < row.card; i += threads()) depths[i] = row.depth(row.logits[i]);
  barrier();
  return {depths, nullptr, row.card};
}

// The top_k tokens and few more, if room is for them in memory [4][kDrawShortlist]; else a line of none. highest: the
// thread's highest logit. Among the threads' own there are top_k down to some depth: so there are among all.
GPU_DEVICE Line shortlist(const Row& row, int top_k, float highest, uint32_t* memory, Meeting& meeting) {
  GPU_SHARED(int, taken, 1);
  if (thread() == 0) *taken = 0;
  const uint32_t own = row.depth(highest);
  const Cut cut =
      cut_at(top_k, top_k, [&](const Depths& depths) { return meeting.over_block<Sum>(depths.reached_by(own)); });
  barrier();
  uint32_t *depths = memory, *ids = memory + kDrawShortlist;
  for (int i = thread(); i < row.card; i += threads()) {
    const uint32_t depth = row.depth(row.logits[i]);
    if (depth > cut.depth) continue;
    const int place = atomic_add(taken, 1);
    if (place >= kDrawShortlist) continue;
    depths[place] = depth;
    ids[place] = static_cast<uint32_t>(i);
  }
  barrier();
  const int count = *taken;
  if (count > kDrawShortlist) return {nullptr, nullptr, 0};
  // In order of their ids: a token's place is how many come before it.
  uint32_t* sorted = ids + kDrawShortlist;
  auto* sorted_ids = reinterpret_cast<int32_t*>(sorted + kDrawShortlist);
  for (int i = thread(); i < count; i += threads()) {
    int place = 0;
    for (int other = 0; other < count; ++other) place += ids[other] < ids[i];
    sorted[place] = depths[i];
    sorted_ids[place] = static_cast<int32_t>(ids[i]);
  }
  barrier();
  return {sorted, sorted_ids, count};
}

}  // namespace

// rows [n]; recent: what their `recent` counts from; logits [n, card] are penalized and favored in place; drawn, taken
// [n]; scratch [n, draw_scratch(card)].
GPU_KERNEL(1024)
draw(const DrawData* rows, const int32_t* recent, float* logits, int32_t card, int32_t* drawn, int32_t* taken,
     uint32_t* scratch) {
  GPU_SHARED(uint64_t, places, 2 * kWarp);
  Meeting meeting{places};
  const DrawData rule = rows[block_x()];
  logits += static_cast<int64_t>(block_x()) * card;
  if (rule.recent_count > 0 && rule.penalty != 1) {
    penalize(rule, recent, logits, card);
    barrier();
  }
  if (rule.favor != 0 && rule.favored >= 0 && rule.favored < card) {
    if (thread() == 0) logits[rule.favored] += rule.favor;
    barrier();
  }

  const auto found = [&](int token) {
    drawn[block_x()] = token;
    taken[block_x()] = rule.given == kFree ? token : rule.given;
  };
  uint64_t own = 0;
  for (int i = thread(); i < card; i += threads()) own = Max::join(own, rank_of(logits[i], i));
  const int best = token_of(meeting.over_block<Max>(own));
  // Colder than this, logits divided by the temperature overflow.
  if (rule.temperature < 1e-5f || rule.top_k == 1) {
    if (thread() == 0) found(best);
    return;
  }

  // No depth may be a zero below zero.
  const float top = logits[best] / rule.temperature;
  const Row row{logits, card, rule.temperature, top == 0 ? 0.0f : top};
  const bool nucleus = rule.top_p > 0, limited = !nucleus && rule.top_k > 0 && rule.top_k < card;
  auto* shared = dynamic_shared<uint32_t>();
  Line line{nullptr, nullptr, 0};
  if (limited && card > kDrawAtHand && rule.top_k <= threads())
    line = shortlist(row, rule.top_k, logits[token_of(own)], shared, meeting);
  if (line.count == 0)
    line = whole_line(row, card <= kDrawAtHand ? shared : scratch + static_cast<int64_t>(block_x()) * card);
  Limit limit;
  if (nucleus) limit = top_p_limit(line, rule.top_p, meeting);
  if (limited) limit = top_k_limit(line, rule.top_k, meeting);
  const bool any = choose(line, limit, rule.uniform, meeting, found);
  // Where nothing weighs anything, the CPU's sums say this.
  if (!any && thread() == 0) found(nucleus ? card - 1 : 0);
}

}  // namespace moshi
