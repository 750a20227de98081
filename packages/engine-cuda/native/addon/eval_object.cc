#include <atomic>
#include <cmath>
#include <mutex>

#include "addon/convert.h"
#include "addon/objects.h"
#include "runtime/eval.h"

namespace moshi {

namespace {

// Between the evaluation and whoever watches it.
struct Watch {
  std::mutex mutex;
  EvalStage stage = EvalStage::Encoding;
  int64_t done = 0, all = 0;
  std::atomic<bool> stopped{false};
};

EvalModel eval_model(const Napi::Object& names, const Napi::Object& options) {
  EvalModel out;
  out.files = {text_option(names, "config"), text_option(names, "lm"), text_option(names, "mimi"),
               text_option(names, "mimiConfig"), text_option(names, "tokenizer")};
  out.files.lora = text_option(names, "lora");
  if (options.Get("loraScale").IsNumber())
    out.files.lora_scale = options.Get("loraScale").As<Napi::Number>().FloatValue();
  out.files.expand = options.Get("expand").ToBoolean();
  return out;
}

// "auto" leaves the choice to the model.
std::optional<Precision> weights_option(const Napi::Object& options, const char* key) {
  const std::string name = text_option(options, key);
  return name == "auto" ? std::nullopt : std::optional(parse_precision(name));
}

std::vector<std::vector<float>> recordings(const Napi::Value& value) {
  if (!value.IsArray()) throw Error(kBadOption, "the recordings must be an array of Float32Array");
  const auto list = value.As<Napi::Array>();
  std::vector<std::vector<float>> out;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto pcm = floats(list.Get(i));
    out.emplace_back(pcm.Data(), pcm.Data() + pcm.ElementLength());
  }
  return out;
}

Napi::Value number_or_null(Napi::Env env, double value) {
  return std::isfinite(value) ? Napi::Value(Napi::Number::New(env, value)) : env.Null();
}

Napi::Object stream_object(Napi::Env env, const StreamQuality& stream) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("draws", static_cast<double>(stream.count()));
  out.Set("agreement", number_or_null(env, stream.agreement()));
  out.Set("divergence", number_or_null(env, stream.divergence()));
  out.Set("rank", number_or_null(env, stream.rank()));
  out.Set("perplexity", number_or_null(env, stream.perplexity()));
  out.Set("referencePerplexity", number_or_null(env, stream.reference_perplexity()));
  return out;
}

Napi::Object quality_object(Napi::Env env, const Quality& quality) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("weights", precision_name(quality.precision));
  out.Set("frames", static_cast<double>(quality.frames));
  out.Set("hidden", number_or_null(env, quality.hidden));
  out.Set("text", stream_object(env, quality.text));
  out.Set("words", stream_object(env, quality.words));
  Napi::Array audio = Napi::Array::New(env);
  for (const StreamQuality& stream : quality.audio) audio.Set(audio.Length(), stream_object(env, stream));
  out.Set("audio", audio);
  return out;
}

const char* stage_name(EvalStage stage) {
  return stage == EvalStage::Encoding ? "encoding" : stage == EvalStage::Reference ? "reference" : "tested";
}

}  // namespace

// evaluate(tested files, reference files, Float32Array[], { threads, isa, weights, referenceWeights, kv, frames,
// loraScale, expand }) → { result: Promise, progress(): { stage, done, all }, stop() }
Napi::Value evaluate_model(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    const Napi::Object chosen = info[3].As<Napi::Object>();
    auto options = std::make_shared<EvalOptions>();
    options->tested = eval_model(info[0].As<Napi::Object>(), chosen);
    options->reference = eval_model(info[1].As<Napi::Object>(), chosen);
    options->tested.files.weights = weights_option(chosen, "weights");
    options->reference.files.weights = weights_option(chosen, "referenceWeights");
    options->tested.files.kv = parse_kv_type(text_option(chosen, "kv"));
    options->recordings = recordings(info[2]);
    const double frames = number_option(chosen, "frames", 500);
    if (!(frames >= 1 && frames <= 1e6)) throw Error(kBadOption, "frames must be a number from 1 to 1000000");
    options->frames = static_cast<int64_t>(frames);
    const std::string isa = text_option(chosen, "isa");
    const int threads = count_option(chosen, "threads", 0);
    options->backend = [isa, threads](Inputs inputs) {
      return std::make_unique<CpuBackend>(threads, isa.empty() ? nullptr : isa.c_str(), inputs);
    };
    auto watch = std::make_shared<Watch>();
    options->progress = [watch](EvalStage stage, int64_t done, int64_t all) {
      if (watch->stopped) throw Error(kClosed, "the evaluation was stopped");
      const std::lock_guard<std::mutex> lock(watch->mutex);
      watch->stage = stage, watch->done = done, watch->all = all;
    };
    auto quality = std::make_shared<Quality>();
    Napi::Object out = Napi::Object::New(env);
    out.Set("progress", Napi::Function::New(env, [watch](const Napi::CallbackInfo& call) -> Napi::Value {
              const std::lock_guard<std::mutex> lock(watch->mutex);
              Napi::Object now = Napi::Object::New(call.Env());
              now.Set("stage", stage_name(watch->stage));
              now.Set("done", static_cast<double>(watch->done));
              now.Set("all", static_cast<double>(watch->all));
              return now;
            }));
    out.Set("stop", Napi::Function::New(env, [watch](const Napi::CallbackInfo& call) -> Napi::Value {
              watch->stopped = true;
              return call.Env().Undefined();
            }));
    out.Set("result", Task::run(
                          env, [=] { *quality = evaluate(*options); },
                          [quality](Napi::Env done) -> Napi::Value { return quality_object(done, *quality); }));
    return out;
  });
}

}  // namespace moshi
