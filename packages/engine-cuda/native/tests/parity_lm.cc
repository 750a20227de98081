// The language model: teacher-forced logits, one position at a time, the greedy loop, resets, sessions in company.
#include <cstring>
#include <regex>

#include "core/error.h"
#include "files/file.h"
#include "files/safetensors.h"
#include "model/generation.h"
#include "tests/parity.h"
#include "tests/parity_tools.h"

namespace moshi {

namespace {

class LmCase {
 public:
  LmCase(const Case& one, Backend& backend, Report& report)
      : one_(one),
        report_(report),
        expected_(one.file("expected.safetensors")),
        weights_(one.file("model.safetensors")) {
    const std::string path = one.file("config.json");
    lm_ = std::make_unique<Lm>(Weights(weights_, backend), read_config(path, Dialect::Moshi));
    greedy_.text = greedy_.audio = {0, 0, 0};
  }

  void moshi() {
    if (expected_.has("tf_codes")) teacher_forced();
    if (expected_.has("fw_input")) streaming_forward();
    greedy_loop();
    for (const auto& [name, info] : expected_.tensors()) {
      std::smatch match;
      if (std::regex_match(name, match, std::regex("reset(\\d+)_emitted"))) reset_loop(name, std::stol(match[1]));
    }
    if (expected_.has("batch_user")) company();
    sampling_repeats();
  }

  void speech_to_text() {
    const Ints codes = expected_.integers("codes");
    transcribe("", codes, expected_.info("codes").shape.at(2), expected_.info("text").shape.at(1));
    if (expected_.has("loop_codes"))
      transcribe("loop_", expected_.integers("loop_codes"), expected_.info("loop_codes").shape.at(2),
                 expected_.info("loop_text").shape.at(1));
  }

 private:
  const LmConfig& config() const { return lm_->config(); }
  size_t streams() const { return static_cast<size_t>(config().streams()); }

  void teacher_forced() {
    const Forward all = one_shot(*lm_, expected_, "tf_codes");
    compare_masked(report_, "tf_logits", all.audio_logits, expected_.floats("tf_logits"));
    compare_masked(report_, "tf_text_logits", all.text_logits, expected_.floats("tf_text_logits"));
  }

  void streaming_forward() {
    const Forward all = step_by_step(*lm_, expected_);
    report_.close("fw_hidden", all.hidden, expected_.floats("fw_hidden"));
    report_.close("fw_text_logits", all.text_logits, expected_.floats("fw_text_logits"));
    report_.close("fw_dep_logits", all.audio_logits, expected_.floats("fw_dep_logits"));
  }

  std::vector<int32_t> column(const Ints& values, size_t row, size_t rows, size_t steps, size_t t) const {
    std::vector<int32_t> out(rows);
    for (size_t k = 0; k < rows; ++k) out[k] = static_cast<int32_t>(values[(row * rows + k) * steps + t]);
    return out;
  }

  void greedy_loop() {
    const Ints user = expected_.integers("gen_user");
    const size_t steps = static_cast<size_t>(expected_.info("gen_user").shape.at(2)),
                 rows = static_cast<size_t>(expected_.info("gen_user").shape.at(1));
    const size_t generated = static_cast<size_t>(config().generated_codebooks);
    Generation one(*lm_, greedy_);
    std::vector<Ints> inputs, audio, emitted, synchronous;
    std::vector<Floats> audio_logits;
    Floats hidden, text_logits;
    Ints text, none;
    for (size_t t = 0; t < steps; ++t) {
      const std::vector<int32_t> codes = column(user, 0, rows, steps, t);
      Generation* all[] = {&one};
      std::vector<StepTrace> trace;
      const StepInput in[] = {{codes.data()}};
      Generation::step(*lm_, all, in, &trace);
      const StepTrace& s = trace[0];
      inputs.push_back(wide(s.input));
      hidden.insert(hidden.end(), s.hidden.begin(), s.hidden.end());
      text_logits.insert(text_logits.end(), s.text_logits.begin(), s.text_logits.end());
      audio_logits.push_back(s.audio_logits);
      text.push_back(s.text);
      audio.push_back(wide(s.audio));
      std::vector<int32_t> out;
      if (one.emitted(out)) {
        emitted.push_back(wide(out));
        synchronous.push_back(wide(out));
      } else {
        none.push_back(static_cast<int64_t>(t));
        synchronous.emplace_back(1 + generated, kUngenerated);
      }
    }
    report_.same("gen_input", by_row(inputs, streams()), expected_.integers("gen_input"));
    report_.close("gen_hidden", hidden, expected_.floats("gen_hidden"));
    report_.close("gen_text_logits", text_logits, expected_.floats("gen_text_logits"));
    report_.close("gen_audio_logits", by_row(audio_logits, generated), expected_.floats("gen_audio_logits"));
    report_.same("gen_text", text, expected_.integers("gen_text"));
    report_.same("gen_audio", by_row(audio, generated), expected_.integers("gen_audio"));
    report_.same("gen_emitted", by_row(emitted, 1 + generated), expected_.integers("gen_emitted"));
    if (expected_.has("gen_none_steps")) report_.same("gen_none_steps", none, expected_.integers("gen_none_steps"));
    if (expected_.has("sync_emitted"))
      report_.same("sync_emitted", by_row(synchronous, 1 + generated), expected_.integers("sync_emitted"));
  }

  void reset_loop(const std::string& name, int64_t reset_before) {
    const Ints user = expected_.integers("gen_user");
    const size_t steps = static_cast<size_t>(expected_.info("gen_user").shape.at(2)),
                 rows = static_cast<size_t>(expected_.info("gen_user").shape.at(1));
    Generation one(*lm_, greedy_);
    std::vector<Ints> emitted;
    Ints none;
    for (size_t t = 0; t < steps; ++t) {
      if (static_cast<int64_t>(t) == reset_before) one.reset();
      const std::vector<int32_t> codes = column(user, 0, rows, steps, t);
      Generation* all[] = {&one};
      const StepInput in[] = {{codes.data()}};
      Generation::step(*lm_, all, in);
      std::vector<int32_t> out;
      if (one.emitted(out))
        emitted.push_back(wide(out));
      else
        none.push_back(static_cast<int64_t>(t));
    }
    report_.same(name, by_row(emitted, static_cast<size_t>(1 + config().generated_codebooks)),
                 expected_.integers(name));
    const std::string steps_name = "reset" + std::to_string(reset_before) + "_none_steps";
    if (expected_.has(steps_name)) report_.same(steps_name, none, expected_.integers(steps_name));
  }

  // Two conversations in one batch; the second runs on some steps only and is reset once: where the README says, or
  // else where its output shows it.
  void company() {
    const Ints user = expected_.integers("batch_user"), mask = expected_.integers("batch_exec_mask_row1"),
               want = expected_.integers("batch_emitted");
    const size_t rows = static_cast<size_t>(expected_.info("batch_user").shape.at(1)), steps = mask.size();
    const size_t out_rows = static_cast<size_t>(1 + config().generated_codebooks);
    Generation first(*lm_, greedy_), second(*lm_, greedy_);
    const std::string readme = one_.readme();
    std::smatch match;
    const bool told = std::regex_search(readme, match, std::regex("row 1 (?:is|was) reset before step (\\d+)"));
    const size_t reset_before = told ? std::stoul(match[1]) : steps;
    bool second_speaks = false;
    std::vector<Ints> emitted[2];
    for (size_t t = 0; t < steps; ++t) {
      const bool silent = want[out_rows * steps + t] == kUngenerated;
      if (told ? t == reset_before : mask[t] && silent && second_speaks) {
        second.reset();
        second_speaks = false;
      }
      second_speaks |= mask[t] && !silent;
      const std::vector<int32_t> a = column(user, 0, rows, steps, t), b = column(user, 1, rows, steps, t);
      Generation* both[] = {&first, &second};
      const StepInput in[] = {{a.data()}, {b.data()}};
      const size_t n = mask[t] ? 2 : 1;
      Generation::step(*lm_, std::span(both, n), std::span(in, n));
      for (size_t i = 0; i < 2; ++i) {
        std::vector<int32_t> out;
        const bool any = i < n && both[i]->emitted(out);
        emitted[i].push_back(any ? wide(out) : Ints(out_rows, kUngenerated));
      }
    }
    Ints got = by_row(emitted[0], out_rows);
    const Ints other = by_row(emitted[1], out_rows);
    got.insert(got.end(), other.begin(), other.end());
    report_.same("batch_emitted", got, want);
  }

  // Not a golden value: sampling must repeat with its seed, change with it, and not notice company.
  void sampling_repeats() {
    SamplingOptions options;
    options.text_seed = options.audio_seed = 7;
    SamplingOptions other = options;
    other.text_seed = other.audio_seed = 8;
    const Ints user = expected_.integers("gen_user");
    const size_t steps = static_cast<size_t>(expected_.info("gen_user").shape.at(2)),
                 rows = static_cast<size_t>(expected_.info("gen_user").shape.at(1));
    const auto run = [&](const SamplingOptions& chosen, bool company) {
      Generation one(*lm_, chosen), guest(*lm_, other);
      Ints tokens;
      for (size_t t = 0; t < steps; ++t) {
        const std::vector<int32_t> codes = column(user, 0, rows, steps, t);
        Generation* all[] = {&guest, &one};
        const StepInput in[] = {{codes.data()}, {codes.data()}};
        const size_t first = company ? 0 : 1;
        Generation::step(*lm_, std::span(all).subspan(first), std::span(in).subspan(first));
        std::vector<int32_t> out;
        if (one.emitted(out)) tokens.insert(tokens.end(), out.begin(), out.end());
      }
      return tokens;
    };
    const Ints alone = run(options, false);
    report_.same("seeded, in company", run(options, true), alone);
    if (run(other, false) == alone) report_.failed("another seed", "gives the same tokens");
  }

  void transcribe(const std::string& prefix, const Ints& codes, int64_t frames, int64_t steps) {
    const size_t rows = static_cast<size_t>(config().user_codebooks());
    Generation one(*lm_, greedy_);
    std::vector<Ints> inputs;
    Floats hidden, logits, heads;
    Ints text, emitted;
    for (int64_t t = 0; t < steps; ++t) {
      // The first frame is given twice: step 0 only ever reads the initial tokens.
      const std::vector<int32_t> user =
          column(codes, 0, rows, static_cast<size_t>(frames), static_cast<size_t>(std::max<int64_t>(0, t - 1)));
      Generation* all[] = {&one};
      std::vector<StepTrace> trace;
      const StepInput in[] = {{user.data()}};
      Generation::step(*lm_, all, in, &trace);
      const StepTrace& s = trace[0];
      inputs.push_back(wide(s.input));
      hidden.insert(hidden.end(), s.hidden.begin(), s.hidden.end());
      logits.insert(logits.end(), s.text_logits.begin(), s.text_logits.end());
      const Floats pause = lm_->extra_heads(s.hidden.data());
      heads.insert(heads.end(), pause.begin(), pause.end());
      text.push_back(s.text);
      std::vector<int32_t> out;
      emitted.push_back(one.emitted(out) ? out[0] : kUngenerated);
    }
    report_.same(prefix + "text", text, expected_.integers(prefix + "text"));
    if (!prefix.empty()) return;
    report_.same("input", by_row(inputs, streams()), expected_.integers("input"));
    report_.close("hidden", hidden, expected_.floats("hidden"));
    report_.close("text_logits", logits, expected_.floats("text_logits"));
    report_.same("emitted", emitted, expected_.integers("emitted"));
    if (expected_.has("extra_heads")) report_.close("extra_heads", heads, expected_.floats("extra_heads"));
  }

  const Case& one_;
  Report& report_;
  Safetensors expected_, weights_;
  std::unique_ptr<Lm> lm_;
  SamplingOptions greedy_;
};

}  // namespace

void check_lm(const Case& one, Backend& backend, Report& report) {
  LmCase(one, backend, report).moshi();
}
void check_stt(const Case& one, Backend& backend, Report& report) {
  LmCase(one, backend, report).speech_to_text();
}

}  // namespace moshi
