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

// A whole number from 0 to 256: threads and slots.
inline int count_option(const Napi::Object& options, const char* key, int fallback) {
  const double value = number_option(options, key, fallback);
  if (!(value >= 0 && value <= 256)) throw Error(kBadOption, std::string(key) + " must be a number from 0 to 256");
  return static_cast<int>(value);
}

// Typed arrays, checked: reading another element type as this one would run past its end.
inline Napi::Float32Array floats(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
    throw Error(kBadOption, "samples must be a Float32Array");
  return value.As<Napi::Float32Array>();
}
inline Napi::Int32Array integers(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    throw Error(kBadOption, "codes and tokens must be an Int32Array");
  return value.As<Napi::Int32Array>();
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
  // While an environment is torn down no JavaScript can run; then there is nobody left to tell.
  void OnOK() override {
    try {
      deferred_.Resolve(make_(Env()));
    } catch (const Napi::Error&) {
    }
  }
  void OnError(const Napi::Error& error) override {
    try {
      deferred_.Reject(to_js(Env(), code_, error.Message()).Value());
    } catch (const Napi::Error&) {
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<void()> work_;
  std::function<Napi::Value(Napi::Env)> make_;
  std::string code_;
};

}  // namespace moshi
