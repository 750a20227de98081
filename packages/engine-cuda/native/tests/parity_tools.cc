#include "tests/parity_tools.h"

#include <algorithm>

namespace moshi {

std::vector<Floats> depth_logits(const Lm& lm, const Floats& hidden, size_t n,
                                 const std::function<int32_t(int, size_t)>& previous) {
  std::vector<TransformerState> states;
  for (size_t i = 0; i < n; ++i) states.push_back(lm.make_depth());
  std::vector<Floats> out;
  for (int k = 0; k < lm.codebooks(); ++k) {
    std::vector<Row> rows;
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < n; ++i) {
      states[i].extend(rows, 1, 0);
      tokens.push_back(previous(k, i));
    }
    Floats logits(n * static_cast<size_t>(lm.config().card));
    lm.depth(k, tokens.data(), hidden.data(), rows, logits.data());
    out.push_back(std::move(logits));
  }
  return out;
}

Forward one_shot(const Lm& lm, const Safetensors& expected, const std::string& name) {
  const LmConfig& config = lm.config();
  const size_t streams = static_cast<size_t>(config.streams()), card = static_cast<size_t>(config.card),
               text_card = static_cast<size_t>(config.text_card_out);
  const Ints codes = expected.integers(name);
  const size_t steps = static_cast<size_t>(expected.info(name).shape.at(2));
  const auto delay = [&](size_t stream) { return static_cast<size_t>(config.delays[stream]); };
  const auto initial = [&](size_t stream) {
    return static_cast<int32_t>(stream == 0 ? config.text_card : config.card);
  };
  const auto delayed = [&](size_t stream, size_t t) {
    return t < delay(stream) ? initial(stream) : static_cast<int32_t>(codes[stream * steps + t - delay(stream)]);
  };
  std::vector<int32_t> tokens(steps * streams);
  for (size_t t = 0; t < steps; ++t)
    for (size_t s = 0; s < streams; ++s) tokens[t * streams + s] = t == 0 ? initial(s) : delayed(s, t - 1);
  TransformerState state = lm.make_temporal(static_cast<int64_t>(steps));
  std::vector<Row> rows;
  state.extend(rows, static_cast<int64_t>(steps), config.temporal.context);
  Forward out{Floats(steps * static_cast<size_t>(lm.dim())), Floats(steps * text_card), {}};
  lm.temporal(tokens.data(), rows, out.hidden.data(), out.text_logits.data());
  const auto depth =
      depth_logits(lm, out.hidden, steps, [&](int k, size_t t) { return delayed(static_cast<size_t>(k), t); });

  const auto undelay = [&](Floats& to, const Floats& logits, size_t stream, size_t width) {
    const size_t late = delay(stream) * width;
    to.insert(to.end(), logits.begin() + static_cast<std::ptrdiff_t>(late), logits.end());
    to.insert(to.end(), late, kNoValue);
  };
  for (size_t k = 0; k < depth.size(); ++k) undelay(out.audio_logits, depth[k], k + 1, card);
  Floats text;
  undelay(text, out.text_logits, 0, text_card);
  out.text_logits = std::move(text);
  return out;
}

Forward step_by_step(const Lm& lm, const Safetensors& expected) {
  const LmConfig& config = lm.config();
  const Ints input = expected.integers("fw_input"), given = expected.integers("fw_dep_tokens");
  const size_t steps = static_cast<size_t>(expected.info("fw_input").shape.at(2)),
               streams = static_cast<size_t>(config.streams()), dim = static_cast<size_t>(lm.dim()),
               text_card = static_cast<size_t>(config.text_card_out);
  TransformerState state = lm.make_temporal();
  Forward out{Floats(steps * dim), Floats(steps * text_card), {}};
  for (size_t t = 0; t < steps; ++t) {
    std::vector<int32_t> tokens(streams);
    for (size_t s = 0; s < streams; ++s) tokens[s] = static_cast<int32_t>(input[s * steps + t]);
    std::vector<Row> rows;
    state.extend(rows, 1, config.temporal.context);
    lm.temporal(tokens.data(), rows, &out.hidden[t * dim], &out.text_logits[t * text_card]);
  }
  const auto depth = depth_logits(lm, out.hidden, steps, [&](int k, size_t t) {
    return static_cast<int32_t>(given[static_cast<size_t>(k) * steps + t]);
  });
  for (const Floats& logits : depth) out.audio_logits.insert(out.audio_logits.end(), logits.begin(), logits.end());
  return out;
}

Floats ring_values(Backend& backend, const Generation& one) {
  const KvCache& kv = one.temporal().cache;
  const auto dim = static_cast<size_t>(kv.head_dim()), width = static_cast<size_t>(kv.width());
  Floats out;
  for (int layer = 0; layer < kv.layers(); ++layer)
    for (const bool values : {false, true}) {
      const Floats ring = kv.read(backend, layer, values, kv.capacity());
      for (size_t column = 0; column < width; column += dim)
        for (size_t at = column; at < ring.size(); at += width) out.insert(out.end(), &ring[at], &ring[at] + dim);
    }
  return out;
}

void compare_masked(Report& report, const std::string& check, Floats got, Floats want) {
  for (size_t i = 0; i < want.size() && i < got.size(); ++i)
    if (want[i] == kNoValue && got[i] == kNoValue) want[i] = got[i] = 0;
  report.close(check, got, want);
}

}  // namespace moshi
