// Between JavaScript and the engine: errors that keep their code, options read with their names.
#pragma once

#include <napi.h>

#include <string>

#include "core/error.h"

namespace moshi {

inline Napi::Error to_js(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Value().Set("code", code);
  return error;
}

// Runs task; an engine error becomes a JavaScript Error whose `code` is the engine's.
template <typename Task>
auto guarded(Napi::Env env, Task task) {
  try {
    return task();
  } catch (const Error& error) {
    throw to_js(env, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    throw to_js(env, kBadOption, "out of memory");
  }
}

inline std::string text_option(const Napi::Object& options, const char* key) {
  const Napi::Value value = options.Get(key);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

inline double number_option(const Napi::Object& options, const char* key, double fallback) {
  const Napi::Value value = options.Get(key);
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : fallback;
}

// A promise settled by a task on a worker thread. Make(env) builds the value afterwards on the JavaScript thread.
class Task : public Napi::AsyncWorker {
 public:
  Task(Napi::Env env, std::function<void()> work, std::function<Napi::Value(Napi::Env)> make)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        make_(std::move(make)) {}

  static Napi::Promise run(Napi::Env env, std::function<void()> work, std::function<Napi::Value(Napi::Env)> make) {
    auto* task = new Task(env, std::move(work), std::move(make));
    task->Queue();
    return task->deferred_.Promise();
  }

 protected:
  void Execute() override {
    try {
      work_();
    } catch (const Error& error) {
      code_ = error.code();
      SetError(error.what());
    } catch (const std::bad_alloc&) {
      code_ = kBadOption;
      SetError("out of memory: this model needs more than the machine has free");
    } catch (const std::exception& error) {
      code_ = kBadFile;
      SetError(error.what());
    }
  }
  void OnOK() override { deferred_.Resolve(make_(Env())); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(to_js(Env(), code_, error.Message()).Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<void()> work_;
  std::function<Napi::Value(Napi::Env)> make_;
  std::string code_;
};

}  // namespace moshi
