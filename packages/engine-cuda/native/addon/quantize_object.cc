#include <atomic>

#include "addon/convert.h"
#include "addon/objects.h"
#include "model/names.h"
#include "runtime/checkpoint.h"
#include "runtime/quantize.h"

namespace moshi {

namespace {

// Between the work and whoever watches it.
struct Watch {
  std::atomic<uint64_t> done{0}, total{0};
  std::atomic<bool> stopped{false};
};

std::function<void(uint64_t, uint64_t)> watched(const std::shared_ptr<Watch>& watch) {
  return [watch](uint64_t done, uint64_t total) {
    if (watch->stopped) throw Error(kClosed, "it was stopped");
    watch->total = total;
    watch->done = done;
  };
}

// { result, progress(): { done, total }, stop() }
Napi::Object job(Napi::Env env, const std::shared_ptr<Watch>& watch, Napi::Promise result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("result", result);
  out.Set("progress", Napi::Function::New(env, [watch](const Napi::CallbackInfo& call) -> Napi::Value {
            Napi::Object now = Napi::Object::New(call.Env());
            now.Set("done", static_cast<double>(watch->done));
            now.Set("total", static_cast<double>(watch->total));
            return now;
          }));
  out.Set("stop", Napi::Function::New(env, [watch](const Napi::CallbackInfo& call) -> Napi::Value {
            watch->stopped = true;
            return call.Env().Undefined();
          }));
  return out;
}

}  // namespace

void weights_options(const Napi::Object& options, CheckpointFiles& files) {
  const std::string name = text_option(options, "weights");
  files.weights = name.empty() || name == "auto" ? std::nullopt : std::optional(parse_precision(name));
  const std::string kv = text_option(options, "kv");
  files.kv = kv.empty() || kv == "auto" ? std::nullopt : std::optional(parse_kv_type(kv));
  files.cache.folders.clear();
  if (!options.Get("cache").IsArray()) return;
  const auto folders = options.Get("cache").As<Napi::Array>();
  for (uint32_t i = 0; i < folders.Length(); ++i) files.cache.folders.push_back(folders.Get(i).ToString());
}

// quantizeWeights({ config, lm }, out, { type, threads, isa }) → { result: Promise<{ bytes, notes }>, progress(),
// stop() }
Napi::Value quantize_checkpoint(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object names = info[0].As<Napi::Object>(), options = info[2].As<Napi::Object>();
    const std::string lm = text_option(names, "lm"), config = text_option(names, "config");
    const auto watch = std::make_shared<Watch>();
    const QuantizeOptions chosen{
        .out = info[1].ToString(), .type = QuantizeType(text_option(options, "type")), .progress = watched(watch)};
    const auto backend = std::make_shared<std::unique_ptr<Backend>>(backend_options(options).make());
    const auto done = std::make_shared<Quantized>();
    return job(info.Env(), watch,
               Task::run(
                   info.Env(),
                   [=] {
                     const LmConfig parsed = read_lm_config(config);
                     *done = quantize_weights(*open_weights(lm, parsed.depth_schedule), chosen, **backend);
                   },
                   [done](Napi::Env env) -> Napi::Value {
                     Napi::Object out = Napi::Object::New(env);
                     Napi::Array notes = Napi::Array::New(env);
                     for (const std::string& note : done->notes) notes.Set(notes.Length(), note);
                     out.Set("bytes", static_cast<double>(done->bytes));
                     out.Set("notes", notes);
                     return out;
                   }));
  });
}

// cacheWeights({ config, lm, lora }, { weights, cache, threads, isa, expand }) → { result: Promise<path or ''>,
// progress(), stop() }
Napi::Value cache_weights(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object names = info[0].As<Napi::Object>(), options = info[1].As<Napi::Object>();
    const auto watch = std::make_shared<Watch>();
    CheckpointFiles files;
    files.config = text_option(names, "config");
    files.lm = text_option(names, "lm");
    files.lora = text_option(names, "lora");
    files.expand = options.Get("expand").ToBoolean();
    weights_options(options, files);
    files.cache.progress = watched(watch);
    const auto backend = std::make_shared<std::unique_ptr<Backend>>(backend_options(options).make());
    const auto path = std::make_shared<std::string>();
    return job(info.Env(), watch,
               Task::run(
                   info.Env(), [=] { *path = LmFile(files).cached(**backend); },
                   [path](Napi::Env env) -> Napi::Value { return Napi::String::New(env, *path); }));
  });
}

}  // namespace moshi
