// What the addon exports. addon/ is the only place that knows JavaScript.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <string>

#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "runtime/checkpoint.h"

namespace moshi {

// Constructors of one environment; kept per environment so that worker threads can load the addon too.
struct Classes {
  Napi::FunctionReference engine, session, voice, mimi, tokenizer, bench;
};

void define_engine(Napi::Env env, Classes& classes);
void define_codec(Napi::Env env, Classes& classes);
void define_bench(Napi::Env env, Classes& classes);

Napi::Value load_engine(const Napi::CallbackInfo& info);
Napi::Value expand_checkpoint(const Napi::CallbackInfo& info);
Napi::Value quantize_checkpoint(const Napi::CallbackInfo& info);
Napi::Value cache_weights(const Napi::CallbackInfo& info);
Napi::Value load_mimi_codec(const Napi::CallbackInfo& info);
Napi::Value load_tokenizer(const Napi::CallbackInfo& info);
Napi::Value open_bench(const Napi::CallbackInfo& info);
Napi::Value probe_gpus(const Napi::CallbackInfo& info);
Napi::Value evaluate_model(const Napi::CallbackInfo& info);

// { weights, cache: string[] }
void weights_options(const Napi::Object& options, CheckpointFiles& files);
// Where a model runs, as JavaScript chose: { threads, isa, device: 'cpu' | 'cuda', gpu, kernels, graphs }.
struct BackendOptions {
  std::string isa;
  int threads = 0;
  std::optional<CardOptions> card;  // none: on the CPU
  // Throws Error where there is no such device; opening a GPU takes a while.
  std::unique_ptr<Backend> make() const;
  std::unique_ptr<CpuBackend> cpu() const;
};
BackendOptions backend_options(const Napi::Object& options);

}  // namespace moshi
