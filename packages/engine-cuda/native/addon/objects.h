// What the addon exports. addon/ is the only place that knows JavaScript.
#pragma once

#include <napi.h>

#include <memory>

#include "cpu/cpu_backend.h"

namespace moshi {

// Constructors of one environment; kept per environment so that worker threads can load the addon too.
struct Classes {
  Napi::FunctionReference engine, session, voice, mimi, tokenizer;
};

void define_engine(Napi::Env env, Classes& classes);
void define_codec(Napi::Env env, Classes& classes);

Napi::Value load_engine(const Napi::CallbackInfo& info);
Napi::Value expand_checkpoint(const Napi::CallbackInfo& info);
Napi::Value load_mimi_codec(const Napi::CallbackInfo& info);
Napi::Value load_tokenizer(const Napi::CallbackInfo& info);

std::unique_ptr<CpuBackend> make_backend(const Napi::Object& options);

}  // namespace moshi
