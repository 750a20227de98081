// The GPU's draw of tokens on fibers, against model/sampler.h: every rule over ties, broken logits and odd sizes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "cuda/kernels/kernels.h"
#include "model/sampler.h"
#include "tests/gpu_tools.h"

namespace moshi {

namespace {

using gpu::host::Order;
using Floats = std::vector<float>;
using Tokens = std::vector<int32_t>;

constexpr Order kForward{Order::Forward, 0};

std::mt19937 random_source(19);

float uniform() {
  return static_cast<float>(random_source() >> 8) * 0x1p-24f;
}
int below(int count) {
  return static_cast<int>(random_source() % static_cast<uint32_t>(count));
}

constexpr DrawData kPlain{.temperature = 1,
                          .top_k = 0,
                          .top_p = 0,
                          .uniform = 0,
                          .given = kFree,
                          .penalty = 1,
                          .recent = 0,
                          .recent_count = 0,
                          .favored = -1,
                          .favor = 0};

// Rows that are drawn in one launch; few of them all at once, so that none may use what is another's.
struct Rows {
  int card;
  std::vector<DrawData> rules = {};
  Floats logits = {};  // [rules, card]
  Tokens recent = {};

  void add(const DrawData& rule, const Floats& row) {
    rules.push_back(rule);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  std::span<const float> row(size_t i) const {
    return {logits.data() + i * static_cast<size_t>(card), static_cast<size_t>(card)};
  }
  size_t count() const { return rules.size(); }
};

struct Drawn {
  Tokens drawn, taken;
  std::vector<uint32_t> logits;  // what has become of them, as bits, since some are not numbers
  bool operator==(const Drawn&) const = default;
};

Drawn drawn_from(const Rows& rows, int threads, Order order = kForward) {
  Floats logits = rows.logits;
  Drawn out{Tokens(rows.count(), -9), Tokens(rows.count(), -9), std::vector<uint32_t>(logits.size())};
  std::vector<uint32_t> scratch(rows.count() * static_cast<size_t>(draw_scratch(rows.card)));
  gpu::host::launch({.kernel = "draw",
                     .grid = {static_cast<int>(rows.count())},
                     .threads = threads,
                     .shared_bytes = static_cast<size_t>(draw_shared_bytes(rows.card)),
                     .order = order,
                     .cooperative = rows.count() <= 4},
                    draw, rows.rules.data(), rows.recent.data(), logits.data(), rows.card, out.drawn.data(),
                    out.taken.data(), scratch.data());
  std::memcpy(out.logits.data(), logits.data(), logits.size() * 4);
  return out;
}

// The row's logits as penalty and favor leave them.
Floats adjusted(const Rows& rows, size_t i) {
  const DrawData& rule = rows.rules[i];
  Floats row(rows.row(i).begin(), rows.row(i).end());
  penalize(row, {rows.recent.data() + rule.recent, static_cast<size_t>(rule.recent_count)}, rule.penalty);
  if (rule.favor != 0 && rule.favored >= 0 && rule.favored < rows.card)
    row[static_cast<size_t>(rule.favored)] += rule.favor;
  return row;
}

SamplingRule rule_of(const DrawData& rule) {
  return {rule.temperature, rule.top_k, rule.top_p};
}

bool is_greedy(const DrawData& rule) {
  return rule.temperature < 1e-5f || rule.top_k == 1;
}

int expected(const Floats& row, const DrawData& rule) {
  if (!is_greedy(rule)) return sample(row, rule_of(rule), rule.uniform);
  // The CPU cannot get away from a NaN that comes first.
  int best = 0;
  for (size_t i = 1; i < row.size(); ++i)
    if (row[i] > row[static_cast<size_t>(best)] || (std::isnan(row[static_cast<size_t>(best)]) && !std::isnan(row[i])))
      best = static_cast<int>(i);
  return best;
}

// Whether the drawn token lies so close to the point that rounding decides.
bool at_boundary(const Floats& row, const DrawData& rule, int token) {
  if (is_greedy(rule) || token < 0 || static_cast<size_t>(token) >= row.size()) return false;
  const std::vector<float> weights = token_weights(row, rule_of(rule));
  double total = 0, before = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (i < static_cast<size_t>(token)) before += weights[i];
    total += weights[i];
  }
  const double weight = weights[static_cast<size_t>(token)], point = rule.uniform * total, near = 1e-6 * total;
  return weight > 0 && point >= before - near && point <= before + weight + near;
}

struct Score {
  int wrong = 0, at_boundary = 0, drawn = 0;
  std::string text() const {
    return std::to_string(wrong) + " wrong of " + std::to_string(drawn) + ", " + std::to_string(at_boundary) +
           " at a boundary";
  }
};

void judge(const std::string& name, const Rows& rows, const Drawn& got, Score& score) {
  bool left = true, taken = true;
  for (size_t i = 0; i < rows.count(); ++i) {
    const Floats row = adjusted(rows, i);
    left &= std::memcmp(row.data(), got.logits.data() + i * row.size(), row.size() * 4) == 0;
    const DrawData& rule = rows.rules[i];
    taken &= got.taken[i] == (rule.given == kFree ? got.drawn[i] : rule.given);
    ++score.drawn;
    if (got.drawn[i] == expected(row, rule)) continue;
    ++(at_boundary(row, rule, got.drawn[i]) ? score.at_boundary : score.wrong);
  }
  expect(left, name + ": penalty and favor leave the CPU's bits");
  expect(taken, name + ": what is given is taken, else what is drawn");
}

enum class Shape : uint8_t { Normal, Steps, Equal, Broken, Huge, Infinite, NoNumbers };
constexpr Shape kShapes[] = {Shape::Normal, Shape::Steps,    Shape::Equal,    Shape::Broken,
                             Shape::Huge,   Shape::Infinite, Shape::NoNumbers};

Floats logits_of(Shape shape, int card) {
  Floats row = normal_floats(card, random_source);
  for (float& logit : row) {
    if (shape == Shape::Steps) logit = std::nearbyint(4 * logit) / 4;
    if (shape == Shape::Equal) logit = -1.25f;
    if (shape == Shape::Huge) logit *= 1e30f;
    if (shape == Shape::Infinite) logit = below(3) == 0 ? -INFINITY : logit * 3;
    if (shape == Shape::NoNumbers) logit = below(2) == 0 ? NAN : -INFINITY;
    if (shape == Shape::Broken) {
      const int kind = below(8);
      logit = kind == 0 ? NAN : kind == 1 ? -NAN : kind == 2 ? -INFINITY : kind == 3 ? 0.0f : kind == 4 ? -0.0f : logit;
    }
  }
  if (shape == Shape::Huge && below(2) == 0) row[static_cast<size_t>(below(card))] = INFINITY;
  return row;
}

DrawData rule_at_random(int card, Rows& rows) {
  DrawData rule = kPlain;
  const float temperatures[] = {0, 1e-6f, 0.1f, 0.7f, 1, 3};
  rule.temperature = temperatures[below(6)];
  const int kind = below(4);
  const int counts[] = {1, 2, 1 + card / 8, 1 + card / 2, card - 1, card, card + 5};
  if (kind == 1 || kind == 3) rule.top_k = counts[below(7)];
  const float shares[] = {1e-6f, 0.1f, 0.5f, 0.9f, 1};
  if (kind >= 2) rule.top_p = shares[below(5)];
  const int edge = below(16);
  rule.uniform = edge == 0 ? 0 : edge == 1 ? 1 - 0x1p-24f : uniform();
  if (below(3) == 0) rule.given = below(card);
  if (below(3) == 0) {
    rule.penalty = below(2) == 0 ? 1.3f : 0.5f;
    rule.recent = static_cast<int32_t>(rows.recent.size());
    // In no order, and some that are no tokens.
    for (int token = -1; token <= card; ++token)
      if (below(3) > 0) rows.recent.push_back(token);
    std::shuffle(rows.recent.begin() + rule.recent, rows.recent.end(), random_source);
    rule.recent_count = static_cast<int32_t>(rows.recent.size()) - rule.recent;
  }
  if (below(3) == 0) {
    rule.favored = below(card + 2) - 1;
    rule.favor = 2;
  }
  return rule;
}

void check_rules() {
  Score score;
  for (const int card : {1, 2, 5, 31, 33, 100, 257}) {
    Rows rows{card};
    for (const Shape shape : kShapes)
      for (int i = 0; i < 60; ++i) {
        const DrawData rule = rule_at_random(card, rows);
        rows.add(rule, logits_of(shape, card));
      }
    const std::string name = "GPU draw from " + std::to_string(card);
    judge(name, rows, drawn_from(rows, 32), score);
  }
  expect(score.wrong == 0 && score.at_boundary < score.drawn / 100, "GPU draws are the CPU's: " + score.text());
}

// One row for each token that may be drawn, in the middle of its part of the line: so the set is the CPU's.
void check_set(const std::string& name, const DrawData& rule, const Floats& row, int threads, int most = 1 << 30) {
  const std::vector<float> weights = token_weights(row, rule_of(rule));
  double total = 0, before = 0;
  for (const float weight : weights) total += weight;
  Rows rows{static_cast<int>(row.size())};
  Tokens want;
  for (size_t i = 0; i < weights.size() && static_cast<int>(want.size()) < most; ++i) {
    DrawData one = rule;
    one.uniform = static_cast<float>((before + 0.5 * weights[i]) / total);
    before += weights[i];
    if (weights[i] < 1e-4 * total) continue;
    want.push_back(static_cast<int32_t>(i));
    rows.add(one, row);
  }
  const Drawn got = drawn_from(rows, threads);
  size_t wrong = 0;
  for (size_t i = 0; i < want.size(); ++i) wrong += got.drawn[i] != want[i];
  expect(wrong == 0,
         name + ": " + std::to_string(wrong) + " tokens are not the CPU's of " + std::to_string(want.size()));
}

void check_sets() {
  for (const Shape shape : {Shape::Normal, Shape::Steps, Shape::Equal}) {
    const Floats row = logits_of(shape, 260);
    DrawData rule = kPlain;
    const std::string name = "GPU draw, shape " + std::to_string(static_cast<int>(shape));
    check_set(name + ", all", rule, row, 32);
    for (const int top_k : {2, 17, 250}) {
      rule.top_k = top_k;
      check_set(name + ", top " + std::to_string(top_k), rule, row, 64);
    }
    for (const float top_p : {0.02f, 0.3f, 0.5f, 0.8f}) {
      rule.top_p = top_p;
      check_set(name + ", top " + std::to_string(top_p), rule, row, 32, 50);
    }
  }
}

// Where the point lies between two tokens it is the second's.
void check_points() {
  constexpr int kCard = 64;
  Rows rows{kCard};
  for (int i = 0; i < kCard; ++i) {
    DrawData rule = kPlain;
    rule.uniform = static_cast<float>(i) / kCard;
    rows.add(rule, logits_of(Shape::Equal, kCard));
  }
  Score score;
  judge("GPU draw between two tokens", rows, drawn_from(rows, 32), score);
  expect(score.wrong + score.at_boundary == 0, "GPU draw between two tokens: " + score.text());
}

// Sizes that take the other ways through memory: whole lines in scratch memory, shortlists, and shortlists too long.
void check_large() {
  Score score;
  for (const auto& [card, threads, top_k, shape] : {std::tuple{2048, 256, 250, Shape::Normal},
                                                    {8193, 96, 25, Shape::Normal},
                                                    {8193, 64, 100, Shape::Normal},
                                                    {8200, 64, 25, Shape::Steps},
                                                    {8193, 64, 50, Shape::Equal},
                                                    {32000, 256, 25, Shape::Normal},
                                                    {9001, 32, 0, Shape::Normal},
                                                    {9001, 64, 25, Shape::NoNumbers},
                                                    {9001, 64, 25, Shape::Broken},
                                                    {50000, 128, 128, Shape::Infinite}}) {
    DrawData rule = kPlain;
    rule.top_k = top_k;
    Rows rows{card};
    for (int i = 0; i < 3; ++i) {
      rule.uniform = uniform();
      rows.add(rule, logits_of(shape, card));
    }
    judge("GPU draw from " + std::to_string(card), rows, drawn_from(rows, threads), score);
  }
  expect(score.wrong == 0 && score.at_boundary < 2, "GPU draws from many are the CPU's: " + score.text());

  DrawData rule = kPlain;
  rule.top_k = 25;
  check_set("GPU draw, a shortlist", rule, logits_of(Shape::Normal, 9000), 64);
  check_set("GPU draw, a shortlist of ties", rule, logits_of(Shape::Steps, 9000), 64);
  // One thread's tokens are all that matter: those of the other threads hide how many there are.
  Floats lumped(8960, -20.0f);
  for (size_t i = 0; i < lumped.size(); i += 64) lumped[i] = 0.001f * static_cast<float>(i % 1000);
  check_set("GPU draw, a shortlist out of one thread's tokens", rule, lumped, 64);
  rule.top_k = 0;
  rule.top_p = 0.01f;
  check_set("GPU draw, top p of many", rule, logits_of(Shape::Normal, 8500), 64, 3);
}

void check_orders() {
  for (const auto& [card, threads] : {std::pair{70, 96}, {70, 64}, {8200, 64}}) {
    Rows rows{card};
    for (const Shape shape : {Shape::Normal, Shape::Steps, Shape::Broken})
      for (int i = 0; i < (card > 100 ? 1 : 4); ++i) {
        DrawData rule = rule_at_random(70, rows);
        rule.temperature = 0.7f;
        if (card > 100) rule.top_k = 25, rule.top_p = 0;
        rows.add(rule, logits_of(shape, card));
      }
    in_every_order("GPU draw from " + std::to_string(card),
                   [&](Order order) { return drawn_from(rows, threads, order); });
  }
}

}  // namespace

void check_gpu_draw() {
  check_rules();
  check_sets();
  check_points();
  check_large();
  check_orders();
}

}  // namespace moshi
