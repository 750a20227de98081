// PersonaPlex's loop: prompts given token by token, the state they leave, live frames, runs without prompts and with
// some tokens given.
#include <cstring>

#include "files/safetensors.h"
#include "model/generation.h"
#include "model/persona.h"
#include "tests/parity.h"
#include "tests/parity_tools.h"
#include "tests/parity_voice.h"

namespace moshi {

namespace {

// What one run of the loop gave, step by step.
struct Run {
  std::vector<Ints> inputs, emitted;
  std::vector<Floats> hidden, text_logits, audio_logits;
  Ints none;
};

class PersonaplexCase {
 public:
  PersonaplexCase(const Case& one, Backend& backend, Report& report)
      : one_(one),
        backend_(backend),
        report_(report),
        expected_(one.file("expected.safetensors")),
        weights_(one.file("model.safetensors")),
        prompt_(Json::parse(read_whole(one.file("prompt.json"), 1 << 20), "prompt.json")) {
    lm_ = std::make_unique<Lm>(Weights(weights_, backend), read_config(one.file("config.json"), Dialect::PersonaPlex));
    greedy_.text = greedy_.audio = {0, 0, 0};
  }

  void run() {
    forward();
    prompted();
    unprompted();
    if (expected_.has("mixed_text")) mixed();
    check_voices(one_, backend_, report_, *lm_, tokens("ids"));
  }

 private:
  const LmConfig& config() const { return lm_->config(); }
  size_t streams() const { return static_cast<size_t>(config().streams()); }
  size_t own() const { return static_cast<size_t>(config().own_codebooks()); }
  size_t user() const { return static_cast<size_t>(config().user_codebooks()); }

  std::vector<int32_t> tokens(const std::string& key) const {
    std::vector<int32_t> out;
    for (const Json& item : prompt_.find(key)->items()) out.push_back(static_cast<int32_t>(item.integer(key)));
    return out;
  }
  // Column t of a [1, rows, steps] tensor.
  std::vector<int32_t> column(const std::string& name, size_t t) const {
    const Ints values = expected_.integers(name);
    const size_t rows = static_cast<size_t>(expected_.info(name).shape.at(1)),
                 steps = static_cast<size_t>(expected_.info(name).shape.at(2));
    std::vector<int32_t> out(rows);
    for (size_t k = 0; k < rows; ++k) out[k] = static_cast<int32_t>(values[k * steps + t]);
    return out;
  }

  void step(Generation& one, const StepInput& input, Run& run, bool traced = true) {
    Generation* all[] = {&one};
    const StepInput in[] = {input};
    std::vector<StepTrace> trace;
    const auto call = static_cast<int64_t>(run.emitted.size() + run.none.size());
    Generation::step(*lm_, all, in, traced ? &trace : nullptr);
    if (traced && !trace[0].input.empty()) {
      run.inputs.push_back(wide(trace[0].input));
      run.hidden.push_back(trace[0].hidden);
      run.text_logits.push_back(trace[0].text_logits);
      run.audio_logits.push_back(trace[0].audio_logits);
    }
    std::vector<int32_t> out;
    if (one.emitted(out))
      run.emitted.push_back(wide(out));
    else
      run.none.push_back(call);
  }

  void forward() {
    // The temporal transformer one position a call, with the fork's ring.
    const Ints input = expected_.integers("fw_input");
    const size_t steps = static_cast<size_t>(expected_.info("fw_input").shape.at(2)),
                 dim = static_cast<size_t>(lm_->dim());
    const size_t card = static_cast<size_t>(config().text_card_out);
    TransformerState state = lm_->make_temporal();
    state.fork = true;
    Floats hidden(steps * dim), text(steps * card);
    for (size_t t = 0; t < steps; ++t) {
      const std::vector<int32_t> codes = column("fw_input", t);
      std::vector<Row> rows;
      state.extend(rows, 1, config().temporal.context);
      lm_->temporal(codes.data(), rows, &hidden[t * dim], &text[t * card]);
    }
    report_.close("fw_hidden_stream", hidden, expected_.floats("fw_hidden_stream"));
    report_.close("fw_text_logits_stream", text, expected_.floats("fw_text_logits_stream"));

    const size_t checked = static_cast<size_t>(expected_.info("fw_dep_tokens").shape.at(2)),
                 audio_card = static_cast<size_t>(config().card);
    std::vector<Floats> logits;
    for (size_t t = 0; t < checked; ++t) {
      const std::vector<int32_t> given = column("fw_dep_tokens", t);
      TransformerState depth = lm_->make_depth();
      depth.fork = true;
      Floats all;
      for (int k = 0; k < config().generated_codebooks; ++k) {
        std::vector<Row> rows;
        depth.extend(rows, 1, 0);
        Floats one(audio_card);
        lm_->depth(k, &given[static_cast<size_t>(k)], &hidden[t * dim], rows, one.data());
        all.insert(all.end(), one.begin(), one.end());
      }
      logits.push_back(std::move(all));
    }
    report_.close("fw_dep_logits", by_row(logits, static_cast<size_t>(config().generated_codebooks)),
                  expected_.floats("fw_dep_logits"));
  }

  // Voice, silence, text, silence; the user's stream is a sine throughout.
  void prompt(Generation& one, Run& run, bool traced = true) {
    const std::vector<int32_t> silence = tokens("silence_tokens"), sine = tokens("sine_tokens"), ids = tokens("ids");
    const int32_t pad = config().text_padding;
    const size_t voice = static_cast<size_t>(expected_.info("voice_codes").shape.at(2));
    const int64_t pause = prompt_.find("audio_silence_frame_cnt")->integer("audio_silence_frame_cnt");
    for (size_t t = 0; t < voice; ++t) {
      const std::vector<int32_t> codes = column("voice_codes", t);
      step(one, {sine.data(), codes.data(), pad}, run, traced);
    }
    if (traced) report_.same("after_voice_cache", cache(one), expected_.integers("after_voice_cache"));
    if (traced)
      report_.same("after_voice_provided", Ints(one.provided().begin(), one.provided().end()),
                   expected_.integers("after_voice_provided"));
    for (int64_t t = 0; t < pause; ++t) step(one, {sine.data(), silence.data(), pad}, run, traced);
    for (const int32_t id : ids) step(one, {sine.data(), silence.data(), id}, run, traced);
    for (int64_t t = 0; t < pause; ++t) step(one, {sine.data(), silence.data(), pad}, run, traced);
  }

  static Ints cache(const Generation& one) { return {one.cache().begin(), one.cache().end()}; }

  static Floats flat(const std::vector<Floats>& steps) {
    Floats out;
    for (const Floats& step : steps) out.insert(out.end(), step.begin(), step.end());
    return out;
  }

  void wrapped() {
    int64_t wrong = 0, total = 0;
    for (const Json& pair : prompt_.find("wrap_with_system_tags")->items()) {
      const std::string& plain = pair.items()[0].string("plain");
      // The reference wraps nothing into tags around nothing; for us an empty prompt is no prompt.
      if (plain.find_first_not_of(' ') == std::string::npos) continue;
      wrong += wrap_with_system_tags(plain) != pair.items()[1].string("wrapped");
      ++total;
    }
    report_.same_text("wrap_with_system_tags", wrong, total, "");
    std::vector<StepInput> steps = persona_steps(config(), nullptr, tokens("ids"));
    const std::vector<int32_t> silence = tokens("silence_tokens"), sine = tokens("sine_tokens");
    const bool tables =
        std::equal(silence.begin(), silence.end(), steps[0].own) && std::equal(sine.begin(), sine.end(), steps[0].user);
    report_.same_text("persona steps", !tables || steps.size() != 12 + tokens("ids").size(), 1, "");
  }

  void prompted() {
    Generation one(*lm_, greedy_);
    Run before, live;
    prompt(one, before);
    report_.same("prompt_input", by_row(before.inputs, streams()), expected_.integers("prompt_input"));
    report_.close("prompt_hidden", flat(before.hidden), expected_.floats("prompt_hidden"));
    report_.close("prompt_text_logits_last", before.text_logits.back(), expected_.floats("prompt_text_logits_last"));
    report_.same("state_cache", cache(one), expected_.integers("state_cache"));
    report_.same("state_provided", Ints(one.provided().begin(), one.provided().end()),
                 expected_.integers("state_provided"));
    report_.same("state_offset", Ints{one.steps()}, expected_.integers("state_offset"));
    report_.close("state_kv", ring_values(lm_->backend(), one), expected_.floats("state_kv"));
    prefilled(one);
    wrapped();
    const size_t frames = static_cast<size_t>(expected_.info("gen_user").shape.at(2));
    for (size_t t = 0; t < frames; ++t) {
      const std::vector<int32_t> codes = column("gen_user", t);
      step(one, {codes.data()}, live);
    }
    report_.same("gen_input", by_row(live.inputs, streams()), expected_.integers("gen_input"));
    report_.close("gen_hidden", flat(live.hidden), expected_.floats("gen_hidden"));
    report_.close("gen_text_logits", flat(live.text_logits), expected_.floats("gen_text_logits"));
    live.audio_logits.resize(static_cast<size_t>(expected_.info("gen_audio_logits").shape.at(2)));
    report_.close("gen_audio_logits", by_row(live.audio_logits, static_cast<size_t>(config().generated_codebooks)),
                  expected_.floats("gen_audio_logits"));
    report_.same("gen_emitted", by_row(live.emitted, streams()), expected_.integers("gen_emitted"));
    report_.same("gen_emitted, no needless step", economical(), expected_.integers("gen_emitted"));
  }

  // The prompts read many positions at once must leave the same state as step by step.
  void prefilled(const Generation& stepped) {
    const std::vector<int32_t> silence = tokens("silence_tokens"), sine = tokens("sine_tokens");
    const size_t voice = static_cast<size_t>(expected_.info("voice_codes").shape.at(2));
    const int64_t pause = prompt_.find("audio_silence_frame_cnt")->integer("audio_silence_frame_cnt");
    std::vector<std::vector<int32_t>> codes;
    for (size_t t = 0; t < voice; ++t) codes.push_back(column("voice_codes", t));
    std::vector<StepInput> steps;
    for (const auto& frame : codes) steps.push_back({sine.data(), frame.data(), config().text_padding});
    for (int64_t t = 0; t < pause; ++t) steps.push_back({sine.data(), silence.data(), config().text_padding});
    for (const int32_t id : tokens("ids")) steps.push_back({sine.data(), silence.data(), id});
    for (int64_t t = 0; t < pause; ++t) steps.push_back({sine.data(), silence.data(), config().text_padding});
    Generation one(*lm_, greedy_);
    for (size_t read = 0; read < steps.size();) {
      const size_t more = one.prefill(*lm_, std::span(steps).subspan(read, std::min<size_t>(5, steps.size() - read)));
      if (more == 0) return report_.failed("prefill", "stops at step " + std::to_string(read));
      read += more;
    }
    report_.same("prefill, cache", cache(one), cache(stepped));
    report_.same("prefill, provided", Ints(one.provided().begin(), one.provided().end()),
                 Ints(stepped.provided().begin(), stepped.provided().end()));
    report_.close("prefill, state_kv", ring_values(lm_->backend(), one), expected_.floats("state_kv"));
  }

  // The same run without traces, as the engine steps: depth steps whose result is given anyway are left out.
  Ints economical() {
    Generation one(*lm_, greedy_);
    Run before;
    prompt(one, before, false);
    std::vector<Ints> emitted;
    for (size_t t = 0; t < static_cast<size_t>(expected_.info("gen_user").shape.at(2)); ++t) {
      const std::vector<int32_t> codes = column("gen_user", t);
      Generation* all[] = {&one};
      const StepInput in[] = {{codes.data()}};
      Generation::step(*lm_, all, in);
      std::vector<int32_t> out;
      if (one.emitted(out)) emitted.push_back(wide(out));
    }
    return by_row(emitted, streams());
  }

  void unprompted() {
    Generation one(*lm_, greedy_);
    Run run;
    const size_t calls = static_cast<size_t>(expected_.info("noprompt_emitted").shape.at(2) +
                                             expected_.info("noprompt_none_steps").shape.at(0));
    for (size_t t = 0; t < calls; ++t) {
      const std::vector<int32_t> codes = column("gen_user", t);
      step(one, {codes.data()}, run);
    }
    report_.same("noprompt_input", by_row(run.inputs, streams()), expected_.integers("noprompt_input"));
    report_.same("noprompt_emitted", by_row(run.emitted, streams()), expected_.integers("noprompt_emitted"));
    report_.same("noprompt_none_steps", run.none, expected_.integers("noprompt_none_steps"));
  }

  void mixed() {
    Generation one(*lm_, greedy_);
    Run run;
    const Ints text = expected_.integers("mixed_text");
    for (size_t t = 0; t < text.size(); ++t) {
      const std::vector<int32_t> codes = column("gen_user", t), own = column("mixed_moshi", t);
      step(one, {codes.data(), own[0] == kFree ? nullptr : own.data(), static_cast<int32_t>(text[t])}, run);
    }
    report_.same("mixed_input", by_row(run.inputs, streams()), expected_.integers("mixed_input"));
    report_.same("mixed_emitted", by_row(run.emitted, streams()), expected_.integers("mixed_emitted"));
    report_.same("mixed_none_steps", run.none, expected_.integers("mixed_none_steps"));
  }

  const Case& one_;
  Backend& backend_;
  Report& report_;
  Safetensors expected_, weights_;
  Json prompt_;
  std::unique_ptr<Lm> lm_;
  SamplingOptions greedy_;
};

}  // namespace

void check_personaplex(const Case& one, Backend& backend, Report& report) {
  PersonaplexCase(one, backend, report).run();
}

}  // namespace moshi
