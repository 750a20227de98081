#include <mutex>

#include "addon/convert.h"
#include "addon/objects.h"
#include "runtime/bench.h"

namespace moshi {

namespace {

struct BenchHolder {
  std::unique_ptr<Bench> bench;
  std::mutex mutex;  // one measurement at a time, on whatever thread
};

Napi::Object to_object(Napi::Env env, const Repeats& repeats) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("best", repeats.best);
  out.Set("median", repeats.median);
  return out;
}

Napi::Array to_array(Napi::Env env, const std::vector<StageTime>& stages) {
  Napi::Array out = Napi::Array::New(env);
  for (const StageTime& stage : stages) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("stage", stage.stage);
    one.Set("kind", stage.kind);
    one.Set("ms", stage.ms);
    one.Set("bytes", static_cast<double>(stage.bytes));
    out.Set(out.Length(), one);
  }
  return out;
}

Napi::Object to_object(Napi::Env env, const LayerTimes& times) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("bytes", static_cast<double>(times.bytes));
  out.Set("one", to_object(env, times.one));
  out.Set("eight", to_object(env, times.eight));
  out.Set("ofRead", times.of_read);
  return out;
}

Napi::Object to_object(Napi::Env env, const LoadTimes& times) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("heard", times.heard);
  out.Set("spoken", times.spoken);
  out.Set("persona", times.persona);
  out.Set("weights", precision_name(times.weights));
  out.Set("kv", kv_type_name(times.kv));
  out.Set("ms", times.ms);
  out.Set("packedBytes", static_cast<double>(times.packed_bytes));
  out.Set("peakBytes", static_cast<double>(times.peak_bytes));
  return out;
}

Napi::Object to_object(Napi::Env env, const FrameTimes& times) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("frames", times.frames);
  out.Set("encode", to_object(env, times.encode));
  out.Set("lm", to_object(env, times.lm));
  out.Set("decode", to_object(env, times.decode));
  out.Set("total", to_object(env, times.total));
  out.Set("weightBytes", static_cast<double>(times.weight_bytes));
  out.Set("kvBytes", static_cast<double>(times.kv_bytes));
  out.Set("ofRead", times.of_read);
  out.Set("linearOfRead", times.linear_of_read);
  out.Set("overFirst", times.over_first);
  out.Set("stages", to_array(env, times.stages));
  return out;
}

Napi::Array to_object(Napi::Env env, const std::vector<FrameTimes>& groups) {
  Napi::Array out = Napi::Array::New(env);
  for (const FrameTimes& times : groups) out.Set(out.Length(), to_object(env, times));
  return out;
}

Napi::Object to_object(Napi::Env env, const CodecTimes& times) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("encode", to_object(env, times.encode));
  out.Set("decode", to_object(env, times.decode));
  out.Set("convolutionFlops", times.convolution_flops);
  out.Set("convolutionMs", times.convolution_ms);
  out.Set("ofPeak", times.of_peak);
  out.Set("encodeStages", to_array(env, times.encode_stages));
  out.Set("decodeStages", to_array(env, times.decode_stages));
  return out;
}

Napi::Value to_object(Napi::Env env, const std::optional<Tuned>& tuned) {
  if (!tuned) return env.Null();
  Napi::Object out = Napi::Object::New(env);
  out.Set("together", tuned->together);
  out.Set("togetherMs", tuned->together_ms);
  out.Set("apartMs", tuned->apart_ms);
  return out;
}

DType layer_type(const std::string& name) {
  for (const DType type : {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_K})
    if (name == dtype_name(type)) return type;
  throw Error(kBadOption, "layers of type '" + printable(name) + "' are none of F32, F16, BF16, Q8_0, Q4_0 and Q4_K");
}

uint64_t bytes_of(const Napi::Value& value) {
  const double bytes = value.ToNumber();
  if (!(bytes >= 1 && bytes <= 1e15)) throw Error(kBadOption, "bytes must be a number above 0");
  return static_cast<uint64_t>(bytes);
}

double milliseconds_of(const Napi::Value& value) {
  const double spend = value.ToNumber();
  if (!(spend >= 0 && spend <= 60'000)) throw Error(kBadOption, "a measurement may take 0 to 60000 ms");
  return spend;
}

class BenchObject : public Napi::ObjectWrap<BenchObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeBench",
                       {InstanceMethod<&BenchObject::read>("read"), InstanceMethod<&BenchObject::flops>("flops"),
                        InstanceMethod<&BenchObject::layers>("layers"), InstanceMethod<&BenchObject::load>("load"),
                        InstanceMethod<&BenchObject::frames>("frames"), InstanceMethod<&BenchObject::codec>("codec"),
                        InstanceMethod<&BenchObject::tune>("tune"), InstanceMethod<&BenchObject::close>("close"),
                        InstanceAccessor<&BenchObject::info>("info")});
  }
  explicit BenchObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BenchObject>(info) {}
  void adopt(std::shared_ptr<BenchHolder> holder) { holder_ = std::move(holder); }

 private:
  // A promise of what `measure`, given the bench, returns.
  template <typename Measure>
  Napi::Value measured(Napi::Env env, Measure measure) {
    if (!holder_) throw Error(kClosed, "the bench is closed");
    using Result = decltype(measure(*holder_->bench));
    auto result = std::make_shared<Result>();
    return Task::run(
        env,
        [=, holder = holder_] {
          const std::lock_guard<std::mutex> lock(holder->mutex);
          *result = measure(*holder->bench);
        },
        [result](Napi::Env env) -> Napi::Value {
          if constexpr (std::is_arithmetic_v<Result>)
            return Napi::Number::New(env, *result);
          else
            return to_object(env, *result);
        });
  }

  // read(threads, bytes, ms) → Promise<{ best, median }>, bytes a second
  Napi::Value read(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const int threads = info[0].ToNumber().Int32Value();
      if (threads < 1 || threads > 256) throw Error(kBadOption, "threads must be 1 to 256");
      const uint64_t bytes = bytes_of(info[1]);
      const double spend = milliseconds_of(info[2]);
      return measured(info.Env(), [=](const Bench& bench) { return bench.read(threads, bytes, spend); });
    });
  }
  // flops(ms) → Promise<number>
  Napi::Value flops(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const double spend = milliseconds_of(info[0]);
      return measured(info.Env(), [=](const Bench& bench) { return bench.flops(spend); });
    });
  }
  // layers(type, bytes, ms) → Promise
  Napi::Value layers(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const DType type = layer_type(info[0].ToString());
      const uint64_t bytes = bytes_of(info[1]);
      const double spend = milliseconds_of(info[2]);
      return measured(info.Env(), [=](const Bench& bench) { return bench.layers(type, bytes, spend); });
    });
  }
  // load({ synthetic } or files, { weights, kv, sessions, position }) → Promise
  Napi::Value load(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Object names = info[0].As<Napi::Object>(), options = info[1].As<Napi::Object>();
      BenchModel model;
      model.synthetic = text_option(names, "synthetic");
      model.files = {text_option(names, "config"), text_option(names, "lm"), text_option(names, "mimi"),
                     text_option(names, "mimiConfig"), text_option(names, "tokenizer")};
      model.files.lora = text_option(names, "lora");
      if (options.Get("loraScale").IsNumber())
        model.files.lora_scale = options.Get("loraScale").As<Napi::Number>().FloatValue();
      model.files.expand = options.Get("expand").ToBoolean();
      const std::string weights = text_option(options, "weights"), kv = text_option(options, "kv");
      model.files.weights = weights.empty() ? std::nullopt : std::optional(parse_precision(weights));
      model.files.kv = kv.empty() ? std::nullopt : std::optional(parse_kv_type(kv));
      const int sessions = std::max(1, count_option(options, "sessions", 1));
      const auto position = static_cast<int64_t>(number_option(options, "position", 0));
      return measured(info.Env(), [=](Bench& bench) { return bench.load(model, sessions, position); });
    });
  }
  // frames(groups of so many sessions, position, frames) → Promise of an array
  Napi::Value frames(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      std::vector<int> sessions;
      const auto groups = info[0].As<Napi::Array>();
      for (uint32_t i = 0; i < groups.Length(); ++i) sessions.push_back(groups.Get(i).ToNumber().Int32Value());
      const int frames = info[2].ToNumber().Int32Value();
      const int64_t position = info[1].ToNumber().Int64Value();
      for (const int count : sessions)
        if (count < 1 || count > 256) throw Error(kBadOption, "sessions must be 1 to 256");
      if (position < 0 || position > 1'000'000'000) throw Error(kBadOption, "position is out of range");
      return measured(info.Env(),
                      [=](const Bench& bench) { return bench.frames(sessions, position, std::max(1, frames)); });
    });
  }
  // tune(position) → Promise<{ together, togetherMs, apartMs } | null>
  Napi::Value tune(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const int64_t position = info[0].ToNumber().Int64Value();
      return measured(info.Env(), [=](Bench& bench) { return bench.tune(position); });
    });
  }
  // codec(oneThread, codebooks, frames) → Promise
  Napi::Value codec(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const bool one = info[0].ToBoolean();
      const int codebooks = std::max(1, info[1].ToNumber().Int32Value()),
                frames = std::max(1, info[2].ToNumber().Int32Value());
      return measured(info.Env(), [=](const Bench& bench) { return bench.codec(one, codebooks, frames); });
    });
  }
  // Frees the model; a measurement that runs is waited for elsewhere.
  Napi::Value close(const Napi::CallbackInfo& info) {
    auto holder = std::make_shared<std::shared_ptr<BenchHolder>>(std::move(holder_));
    return Task::run(
        info.Env(), [holder] { holder->reset(); }, [](Napi::Env env) { return env.Undefined(); });
  }
  Napi::Value info(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (!holder_) throw Error(kClosed, "the bench is closed");
      Napi::Object out = Napi::Object::New(info.Env());
      const Bench& bench = *holder_->bench;
      out.Set("backend", bench.name());
      out.Set("threads", bench.threads());
      if (const Card* card = bench.card()) {
        out.Set("gpu", card->name());
        out.Set("graphs", card->graphs() ? std::string("on") : "off: " + card->graph_note());
      }
      return out;
    });
  }

  std::shared_ptr<BenchHolder> holder_;
};

}  // namespace

// openBench({ threads, isa, device: 'cpu' | 'cuda', gpu, kernels, graphs }) → NativeBench
Napi::Value open_bench(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const BackendOptions options = backend_options(info[0].As<Napi::Object>());
    auto holder = std::make_shared<BenchHolder>();
    holder->bench = std::make_unique<Bench>(options.make(), options.isa);
    const Napi::Object object = info.Env().GetInstanceData<Classes>()->bench.New({});
    BenchObject::Unwrap(object)->adopt(std::move(holder));
    return object;
  });
}

void define_bench(Napi::Env env, Classes& classes) {
  classes.bench = Napi::Persistent(BenchObject::define(env));
}

}  // namespace moshi
