#include <thread>

#include "addon/objects.h"
#include "core/cpu_topology.h"
#include "core/error.h"

namespace moshi {

namespace {

// cpu() → { isa: names this CPU runs, used: the one chosen, threads: how many the engine takes by default }
Napi::Value cpu(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array names = Napi::Array::New(env);
  for (const Kernels* kernels : available_kernels()) names.Set(names.Length(), kernels->isa);
  Napi::Object out = Napi::Object::New(env);
  out.Set("isa", names);
  out.Set("used", choose_kernels().isa);
  out.Set("threads", suitable_threads());
  return out;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* classes = new Classes;
  define_engine(env, *classes);
  define_codec(env, *classes);
  define_bench(env, *classes);
  env.SetInstanceData(classes);  // deleted with the environment
  exports.Set("loadEngine", Napi::Function::New(env, load_engine));
  exports.Set("expandCheckpoint", Napi::Function::New(env, expand_checkpoint));
  exports.Set("quantizeWeights", Napi::Function::New(env, quantize_checkpoint));
  exports.Set("cacheWeights", Napi::Function::New(env, cache_weights));
  exports.Set("loadMimi", Napi::Function::New(env, load_mimi_codec));
  exports.Set("loadTokenizer", Napi::Function::New(env, load_tokenizer));
  exports.Set("evaluate", Napi::Function::New(env, evaluate_model));
  exports.Set("openBench", Napi::Function::New(env, open_bench));
  exports.Set("cpu", Napi::Function::New(env, cpu));
  exports.Set("probeGpus", Napi::Function::New(env, probe_gpus));
  return exports;
}

}  // namespace
}  // namespace moshi

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  return moshi::init(env, exports);
}
NODE_API_MODULE(moshi, Init)
