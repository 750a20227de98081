#include "addon/objects.h"

#include <mutex>

#include "addon/convert.h"
#include "cuda/cuda_backend.h"
#include "model/expansion.h"
#include "runtime/engine.h"
#include "runtime/voice_file.h"

namespace moshi {

namespace {

struct EngineHolder {
  std::unique_ptr<Engine> engine;  // null once closing has begun
  Engine& get() const {
    if (!engine) throw Error(kClosed, "the engine is closed");
    return *engine;
  }
};

// Carries a session's events from the engine's thread to its JavaScript callback.
class Emitter {
 public:
  Emitter(Napi::Env env, const Napi::Function& callback) {
    // The finalizer runs before Node frees the function, also when a worker is terminated: from then on nobody may call
    // it.
    auto* kept = new std::shared_ptr<State>(state_);
    function_ = Napi::ThreadSafeFunction::New(
        env, callback, "moshi session", 0, 1,
        [](Napi::Env, std::shared_ptr<State>* state) {
          {
            const std::lock_guard<std::mutex> lock((*state)->mutex);
            (*state)->dead = true;
          }
          delete state;
        },
        kept);
  }
  ~Emitter() { release(); }

  template <typename Call>
  void emit(Call call) {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->dead) return;
    auto* boxed = new std::function<void(Napi::Env, Napi::Function)>(std::move(call));
    const napi_status status = function_.NonBlockingCall(
        boxed, [](Napi::Env env, Napi::Function callback, std::function<void(Napi::Env, Napi::Function)>* run) {
          const std::unique_ptr<std::function<void(Napi::Env, Napi::Function)>> owned(run);
          if (static_cast<napi_env>(env) == nullptr) return;
          try {
            (*run)(env, callback);
          } catch (const Napi::Error&) {
            // The environment is ending; the callback itself lets nothing out.
          }
        });
    if (status == napi_ok) return;
    delete boxed;
    // The environment is closing and has taken our hold back.
    state_->dead = true;
  }
  void release() {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    if (!std::exchange(state_->dead, true)) function_.Release();
  }

 private:
  struct State {
    std::mutex mutex;
    bool dead = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  Napi::ThreadSafeFunction function_;
};

Napi::Object frame_object(Napi::Env env, const FrameResult& frame) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("step", static_cast<double>(frame.step));
  if (frame.pcm.empty()) {
    out.Set("pcm", env.Null());
  } else {
    auto pcm = Napi::Float32Array::New(env, frame.pcm.size());
    std::copy(frame.pcm.begin(), frame.pcm.end(), pcm.Data());
    out.Set("pcm", pcm);
  }
  out.Set("text", frame.text ? Napi::Value(Napi::String::New(env, *frame.text)) : env.Null());
  out.Set("token", frame.token);
  Napi::Object timing = Napi::Object::New(env);
  timing.Set("encodeMs", frame.encode_ms);
  timing.Set("lmMs", frame.lm_ms);
  timing.Set("decodeMs", frame.decode_ms);
  out.Set("timing", timing);
  return out;
}

Napi::Object say_object(Napi::Env env, const SayEvent& event) {
  using Kind = SayEvent::Kind;
  Napi::Object out = Napi::Object::New(env);
  out.Set("type", event.kind == Kind::Start ? "start" : event.kind == Kind::Word ? "word" : "end");
  out.Set("id", static_cast<double>(event.id));
  out.Set("text", event.text);
  if (event.kind == Kind::End) out.Set("completed", event.completed);
  return out;
}

SessionEvents session_events(Napi::Env env, const Napi::Function& callback) {
  auto emitter = std::make_shared<Emitter>(env, callback);
  const auto plain = [emitter](const char* kind) {
    return [emitter, kind] {
      emitter->emit([kind](Napi::Env env, Napi::Function call) { call.Call({Napi::String::New(env, kind)}); });
    };
  };
  SessionEvents events;
  events.ready = plain("ready");
  events.frame = [emitter](FrameResult frame) {
    emitter->emit([frame = std::move(frame)](Napi::Env env, Napi::Function call) {
      call.Call({Napi::String::New(env, "frame"), frame_object(env, frame)});
    });
  };
  events.say = [emitter](const SayEvent& event) {
    emitter->emit([event](Napi::Env env, Napi::Function call) {
      call.Call({Napi::String::New(env, "say"), say_object(env, event)});
    });
  };
  events.error = [emitter](const std::string& code, const std::string& message) {
    emitter->emit([code, message](Napi::Env env, Napi::Function call) {
      call.Call({Napi::String::New(env, "error"), to_js(env, code, message).Value()});
    });
  };
  events.reset = plain("reset");
  events.closed = [emitter, closed = plain("closed")] {
    closed();
    emitter->release();
  };
  return events;
}

SamplingOptions sampling_options(const Napi::Object& options, const LmConfig& config) {
  SamplingOptions out;
  out.text = {static_cast<float>(number_option(options, "textTemperature", config.text_temperature)),
              static_cast<int>(number_option(options, "textTopK", config.text_top_k)), 0};
  out.audio = {static_cast<float>(number_option(options, "audioTemperature", config.temperature)),
               static_cast<int>(number_option(options, "audioTopK", config.top_k)), 0};
  out.text_seed = static_cast<uint64_t>(number_option(options, "textSeed", 0));
  out.audio_seed = static_cast<uint64_t>(number_option(options, "audioSeed", 0));
  out.pad_bonus = static_cast<float>(number_option(options, "padMult", 0));
  out.repetition_penalty = static_cast<float>(number_option(options, "repetitionPenalty", 1));
  out.repetition_context = static_cast<int>(number_option(options, "repetitionPenaltyContext", 0));
  return out;
}

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeSession",
        {InstanceMethod<&SessionObject::push>("push"), InstanceMethod<&SessionObject::reset>("reset"),
         InstanceMethod<&SessionObject::say>("say"), InstanceMethod<&SessionObject::cancel_say>("cancelSay"),
         InstanceMethod<&SessionObject::interrupt>("interrupt"), InstanceMethod<&SessionObject::end_turn>("endTurn"),
         InstanceMethod<&SessionObject::close>("close"), InstanceAccessor<&SessionObject::queued>("queued")});
  }

  explicit SessionObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SessionObject>(info) {}
  ~SessionObject() override { shut(); }

  void open(std::shared_ptr<EngineHolder> holder, const OpenOptions& options, SessionEvents events) {
    session_ = holder->get().open(options, std::move(events));
    holder_ = std::move(holder);
  }

 private:
  Session& session() const {
    if (!session_) throw Error(kClosed, "the session is closed");
    return *session_;
  }
  void shut() {
    if (session_ && holder_->engine) holder_->engine->close(*session_);
    session_.reset();
  }
  Napi::Value push(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const auto pcm = floats(info[0]);
      Session& open = session();
      holder_->get().push(open, pcm.Data(), pcm.ElementLength());
      return info.Env().Undefined();
    });
  }
  Napi::Value reset(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      Session& open = session();
      holder_->get().reset(open);
      return info.Env().Undefined();
    });
  }
  // say(text, wait) → number
  Napi::Value say(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      Session& open = session();
      const Floor floor = info[1].ToBoolean() ? Floor::Wait : Floor::Interrupt;
      return Napi::Number::New(info.Env(), static_cast<double>(holder_->get().say(open, info[0].ToString(), floor)));
    });
  }
  Napi::Value cancel_say(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      Session& open = session();
      holder_->get().cancel_say(open, info[0].ToNumber().Int64Value());
      return info.Env().Undefined();
    });
  }
  Napi::Value interrupt(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      Session& open = session();
      holder_->get().interrupt(open);
      return info.Env().Undefined();
    });
  }
  Napi::Value end_turn(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      Session& open = session();
      holder_->get().end_turn(open);
      return info.Env().Undefined();
    });
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    shut();
    return info.Env().Undefined();
  }
  Napi::Value queued(const Napi::CallbackInfo& info) {
    const size_t frames = session_ && holder_->engine ? holder_->engine->queued(*session_) : 0;
    return Napi::Number::New(info.Env(), static_cast<double>(frames));
  }

  std::shared_ptr<EngineHolder> holder_;
  std::shared_ptr<Session> session_;
};

// A voice of one engine; opaque to JavaScript.
class VoiceObject : public Napi::ObjectWrap<VoiceObject> {
 public:
  static Napi::Function define(Napi::Env env) { return DefineClass(env, "NativeVoice", {}); }
  explicit VoiceObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<VoiceObject>(info) {}
  std::shared_ptr<EngineHolder> holder;
  std::shared_ptr<Voice> voice;
};

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeEngine",
        {InstanceMethod<&EngineObject::open>("open"), InstanceMethod<&EngineObject::close>("close"),
         InstanceMethod<&EngineObject::load_voice>("loadVoice"),
         InstanceMethod<&EngineObject::time_persona>("timePersona"), InstanceAccessor<&EngineObject::info>("info")});
  }
  explicit EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {}
  void adopt(std::unique_ptr<Engine> engine) { holder_->engine = std::move(engine); }

 private:
  Napi::Value open(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Napi::Object given = info[0].As<Napi::Object>();
      OpenOptions options;
      options.sampling = sampling_options(given, holder_->get().checkpoint()->lm->config());
      options.role = text_option(given, "prompt");
      options.say_only = given.Get("sayOnly").ToBoolean();
      options.voice = voice(given.Get("voice"));
      const Napi::Object object = info.Env().GetInstanceData<Classes>()->session.New({});
      SessionObject::Unwrap(object)->open(holder_, options, session_events(info.Env(), info[1].As<Napi::Function>()));
      return object;
    });
  }

  // timePersona({ voice, prompt }) → Promise<{ steps, steppedMs, readMs, copiedMs }>
  Napi::Value time_persona(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Napi::Object given = info[0].As<Napi::Object>();
      OpenOptions options;
      options.role = text_option(given, "prompt");
      options.voice = voice(given.Get("voice"));
      auto future = std::make_shared<std::future<PersonaTimes>>(holder_->get().time_persona(options));
      auto times = std::make_shared<PersonaTimes>();
      return Task::run(
          info.Env(), [=] { *times = future->get(); },
          [times](Napi::Env env) -> Napi::Value {
            Napi::Object out = Napi::Object::New(env);
            out.Set("steps", static_cast<double>(times->steps));
            out.Set("steppedMs", times->stepped_ms);
            out.Set("readMs", times->read_ms);
            out.Set("copiedMs", times->copied_ms);
            return out;
          });
    });
  }

  std::shared_ptr<Voice> voice(const Napi::Value& value) const {
    if (!value.IsObject()) return nullptr;
    const Napi::FunctionReference& type = value.Env().GetInstanceData<Classes>()->voice;
    if (!value.As<Napi::Object>().InstanceOf(type.Value())) throw Error(kBadOption, "voice must come from loadVoice()");
    const VoiceObject* object = VoiceObject::Unwrap(value.As<Napi::Object>());
    if (object->holder != holder_) throw Error(kBadOption, "the voice belongs to another engine");
    return object->voice;
  }

  // loadVoice(path or Float32Array) → Promise<NativeVoice>
  Napi::Value load_voice(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const std::shared_ptr<const Checkpoint> checkpoint = holder_->get().checkpoint();
      std::string path;
      std::vector<float> pcm;
      if (info[0].IsString()) {
        path = info[0].As<Napi::String>();
      } else {
        const auto samples = floats(info[0]);
        pcm.assign(samples.Data(), samples.Data() + samples.ElementLength());
      }
      auto out = std::make_shared<std::shared_ptr<Voice>>();
      return Task::run(
          info.Env(),
          [=, pcm = std::move(pcm)] {
            *out = path.empty() ? recorded_voice(pcm, *checkpoint->mimi, checkpoint->lm->config())
                                : read_voice(path, checkpoint->lm->config());
          },
          [out, holder = holder_](Napi::Env env) -> Napi::Value {
            const Napi::Object object = env.GetInstanceData<Classes>()->voice.New({});
            VoiceObject* voice = VoiceObject::Unwrap(object);
            voice->holder = holder;
            voice->voice = std::move(*out);
            return object;
          });
    });
  }

  // Resolves when the thread has ended and the weights are freed.
  Napi::Value close(const Napi::CallbackInfo& info) {
    // The box empties on the worker thread: joining the engine's thread must not block this one.
    auto engine = std::make_shared<std::unique_ptr<Engine>>(std::move(holder_->engine));
    return Task::run(
        info.Env(), [engine] { engine->reset(); }, [](Napi::Env env) { return env.Undefined(); });
  }

  Napi::Value info(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Engine& engine = holder_->get();
      const LmConfig& config = engine.checkpoint()->lm->config();
      Napi::Object out = Napi::Object::New(info.Env());
      out.Set("backend", engine.checkpoint()->backend->name());
      const Backend& backend = *engine.checkpoint()->backend;
      if (const auto* cpu = dynamic_cast<const CpuBackend*>(&backend)) out.Set("threads", cpu->threads());
      if (const auto* cuda = dynamic_cast<const CudaBackend*>(&backend)) {
        out.Set("gpu", cuda->card().name());
        out.Set("gpuBytes", static_cast<double>(cuda->card().most()));
        out.Set("graphs", cuda->card().graphs() ? std::string("on") : "off: " + cuda->card().graph_note());
      }
      out.Set("weights", precision_name(engine.checkpoint()->precision));
      out.Set("kv", kv_type_name(engine.checkpoint()->lm->kv()));
      out.Set("slots", engine.slots());
      out.Set("dim", static_cast<double>(config.temporal.dim));
      out.Set("layers", config.temporal.layers);
      out.Set("context", static_cast<double>(config.temporal.context));
      // Frames at the start that get no sound: the codebook delays, and PersonaPlex's first frame, which takes no step.
      out.Set("delayFrames", config.max_delay() + (config.dialect == Dialect::PersonaPlex ? 1 : 0));
      out.Set("codebooks", config.own_codebooks());
      out.Set("dialect", config.dialect == Dialect::PersonaPlex ? "personaplex" : "moshi");
      out.Set("textVocabulary", static_cast<double>(config.text_card));
      if (!engine.rehearsed().empty()) {
        Napi::Array rehearsal = Napi::Array::New(info.Env());
        for (const Rehearsed& one : engine.rehearsed()) {
          Napi::Object entry = Napi::Object::New(info.Env());
          entry.Set("sessions", one.sessions);
          entry.Set("ms", one.ms);
          rehearsal.Set(rehearsal.Length(), entry);
        }
        out.Set("rehearsal", rehearsal);
      }
      return out;
    });
  }

  std::shared_ptr<EngineHolder> holder_ = std::make_shared<EngineHolder>();
};

}  // namespace

BackendOptions backend_options(const Napi::Object& options) {
  BackendOptions out{text_option(options, "isa"), count_option(options, "threads", 0), std::nullopt};
  if (text_option(options, "device") == "cuda")
    out.card = CardOptions{.index = count_option(options, "gpu", 0),
                           .graphs = options.Get("graphs").ToBoolean(),
                           .kernels = text_option(options, "kernels")};
  return out;
}

std::unique_ptr<CpuBackend> BackendOptions::cpu() const {
  return std::make_unique<CpuBackend>(threads, isa.empty() ? nullptr : isa.c_str());
}

std::unique_ptr<Backend> BackendOptions::make() const {
  if (!card) return cpu();
  return std::make_unique<CudaBackend>(std::make_shared<const DriverApi>(cuda_library()), *card, threads);
}

// expandCheckpoint(lm, out) → Promise
Napi::Value expand_checkpoint(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string lm = info[0].ToString(), out = info[1].ToString();
    return Task::run(
        info.Env(), [=] { write_expanded(lm, out); }, [](Napi::Env env) { return env.Undefined(); });
  });
}

// loadEngine({ config, lm, mimi, mimiConfig, tokenizer, lora }, { threads, slots, isa, loraScale, expand, weights,
// cache, context, device: 'cpu' | 'cuda', gpu, kernels, graphs }) →
// Promise<NativeEngine>
Napi::Value load_engine(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object names = info[0].As<Napi::Object>(), options = info[1].As<Napi::Object>();
    CheckpointFiles files{text_option(names, "config"), text_option(names, "lm"), text_option(names, "mimi"),
                          text_option(names, "mimiConfig"), text_option(names, "tokenizer")};
    files.lora = text_option(names, "lora");
    if (options.Get("loraScale").IsNumber())
      files.lora_scale = options.Get("loraScale").As<Napi::Number>().FloatValue();
    files.expand = options.Get("expand").ToBoolean();
    weights_options(options, files);
    files.context = count_option(options, "context", 0);
    const int slots = std::max(1, count_option(options, "slots", 1));
    const BackendOptions device = backend_options(options);
    auto engine = std::make_shared<std::unique_ptr<Engine>>();
    return Task::run(
        info.Env(),
        [=] {
          const bool gpu = device.card.has_value();
          const EngineOptions how{.slots = slots, .rehearse = gpu || LmFile(files).large(), .full = gpu};
          *engine = std::make_unique<Engine>(std::make_unique<Checkpoint>(files, device.make()), how);
        },
        [engine](Napi::Env env) -> Napi::Value {
          const Napi::Object object = env.GetInstanceData<Classes>()->engine.New({});
          EngineObject::Unwrap(object)->adopt(std::move(*engine));
          return object;
        });
  });
}

void define_engine(Napi::Env env, Classes& classes) {
  classes.engine = Napi::Persistent(EngineObject::define(env));
  classes.session = Napi::Persistent(SessionObject::define(env));
  classes.voice = Napi::Persistent(VoiceObject::define(env));
}

}  // namespace moshi
