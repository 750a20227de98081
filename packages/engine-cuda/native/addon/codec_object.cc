#include <mutex>

#include "addon/convert.h"
#include "addon/objects.h"
#include "model/voice.h"
#include "runtime/checkpoint.h"

namespace moshi {

namespace {

// Frames encoded or decoded at once: bounds memory for long files; results do not depend on it.
constexpr int64_t kChunk = 16;

struct Codec {
  std::unique_ptr<CpuBackend> backend;
  std::unique_ptr<Mimi> mimi;
  std::mutex mutex;  // a model is driven by one thread at a time
};

class MimiObject : public Napi::ObjectWrap<MimiObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeMimi",
                       {InstanceMethod<&MimiObject::encode>("encode"), InstanceMethod<&MimiObject::decode>("decode"),
                        InstanceMethod<&MimiObject::voice_codes>("voiceCodes"),
                        InstanceMethod<&MimiObject::close>("close"), InstanceAccessor<&MimiObject::info>("info")});
  }
  explicit MimiObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MimiObject>(info) {}
  void adopt(std::shared_ptr<Codec> codec) { codec_ = std::move(codec); }

 private:
  std::shared_ptr<Codec> codec() const {
    if (!codec_) throw Error(kClosed, "the codec is closed");
    return codec_;
  }

  // encode(Float32Array, codebooks) → Promise<Int32Array [codebooks, frames]>; the last frame is padded with silence.
  Napi::Value encode(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto codec = this->codec();
      const auto pcm = floats(info[0]);
      const int count = info[1].As<Napi::Number>().Int32Value();
      if (count < 1 || count > codec->mimi->quantizer().codebooks())
        throw Error(kBadOption, "codebooks must be 1 to " + std::to_string(codec->mimi->quantizer().codebooks()));
      const int64_t samples = codec->mimi->frame_samples();
      const int64_t frames = (static_cast<int64_t>(pcm.ElementLength()) + samples - 1) / samples;
      std::vector<float> input(pcm.Data(), pcm.Data() + pcm.ElementLength());
      input.resize(static_cast<size_t>(frames * samples), 0.0f);
      auto out = std::make_shared<std::vector<int32_t>>(static_cast<size_t>(frames * count));
      return Task::run(
          info.Env(),
          [=, input = std::move(input)] {
            const std::lock_guard<std::mutex> lock(codec->mutex);
            MimiState state = codec->mimi->make_encoder(kChunk);
            std::vector<int32_t> codes(static_cast<size_t>(kChunk * count));
            for (int64_t f = 0; f < frames; f += kChunk) {
              const int64_t n = std::min(kChunk, frames - f);
              codec->mimi->encode(state, &input[static_cast<size_t>(f * samples)], n, count, codes.data());
              for (int64_t i = 0; i < n; ++i)
                for (int q = 0; q < count; ++q)
                  (*out)[static_cast<size_t>(q * frames + f + i)] = codes[static_cast<size_t>(i * count + q)];
            }
          },
          [out](Napi::Env env) -> Napi::Value {
            auto array = Napi::Int32Array::New(env, out->size());
            std::copy(out->begin(), out->end(), array.Data());
            return array;
          });
    });
  }

  // voiceCodes(Float32Array) → Promise<Int32Array [8, frames]>: as encode, but brought to a voice prompt's loudness.
  Napi::Value voice_codes(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto codec = this->codec();
      const auto samples = floats(info[0]);
      std::vector<float> pcm(samples.Data(), samples.Data() + samples.ElementLength());
      auto out = std::make_shared<std::vector<int32_t>>();
      return Task::run(
          info.Env(),
          [=, pcm = std::move(pcm)] {
            const std::lock_guard<std::mutex> lock(codec->mutex);
            VoiceEncoder encoder(*codec->mimi, pcm, kVoiceCodebooks);
            encoder.encode(*codec->mimi, encoder.frames());
            out->resize(encoder.codes.size());
            for (int64_t t = 0; t < encoder.frames(); ++t)
              for (int q = 0; q < kVoiceCodebooks; ++q)
                (*out)[static_cast<size_t>(q * encoder.frames() + t)] =
                    encoder.codes[static_cast<size_t>(t * kVoiceCodebooks + q)];
          },
          [out](Napi::Env env) -> Napi::Value {
            auto array = Napi::Int32Array::New(env, out->size());
            std::copy(out->begin(), out->end(), array.Data());
            return array;
          });
    });
  }

  // decode(Int32Array [codebooks, frames], codebooks) → Promise<Float32Array>
  Napi::Value decode(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto codec = this->codec();
      const auto codes = integers(info[0]);
      const int count = info[1].As<Napi::Number>().Int32Value();
      if (count < 1 || count > codec->mimi->quantizer().codebooks())
        throw Error(kBadOption, "codebooks must be 1 to " + std::to_string(codec->mimi->quantizer().codebooks()));
      if (codes.ElementLength() % static_cast<size_t>(count) != 0)
        throw Error(kBadOption, "the number of codes must be a multiple of the number of codebooks");
      const int64_t frames = static_cast<int64_t>(codes.ElementLength()) / count,
                    samples = codec->mimi->frame_samples();
      std::vector<int32_t> input(codes.ElementLength());
      for (int64_t f = 0; f < frames; ++f)
        for (int q = 0; q < count; ++q) input[static_cast<size_t>(f * count + q)] = codes.Data()[q * frames + f];
      auto out = std::make_shared<std::vector<float>>(static_cast<size_t>(frames * samples));
      return Task::run(
          info.Env(),
          [=, input = std::move(input)] {
            const std::lock_guard<std::mutex> lock(codec->mutex);
            MimiState state = codec->mimi->make_decoder(kChunk);
            for (int64_t f = 0; f < frames; f += kChunk)
              codec->mimi->decode(state, &input[static_cast<size_t>(f * count)], std::min(kChunk, frames - f), count,
                                  &(*out)[static_cast<size_t>(f * samples)]);
          },
          [out](Napi::Env env) -> Napi::Value {
            auto array = Napi::Float32Array::New(env, out->size());
            std::copy(out->begin(), out->end(), array.Data());
            return array;
          });
    });
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    codec_.reset();
    return info.Env().Undefined();
  }

  Napi::Value info(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto codec = this->codec();
      Napi::Object out = Napi::Object::New(info.Env());
      out.Set("codebooks", codec->mimi->quantizer().codebooks());
      out.Set("bins", static_cast<double>(codec->mimi->quantizer().bins()));
      out.Set("frameSamples", static_cast<double>(codec->mimi->frame_samples()));
      out.Set("sampleRate", codec->mimi->config().sample_rate);
      out.Set("backend", codec->backend->name());
      out.Set("threads", codec->backend->threads());
      return out;
    });
  }

  std::shared_ptr<Codec> codec_;
};

class TokenizerObject : public Napi::ObjectWrap<TokenizerObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeTokenizer",
        {InstanceMethod<&TokenizerObject::encode>("encode"), InstanceMethod<&TokenizerObject::decode>("decode"),
         InstanceAccessor<&TokenizerObject::size>("size")});
  }
  explicit TokenizerObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TokenizerObject>(info) {}
  void adopt(std::unique_ptr<SentencePiece> model) { model_ = std::move(model); }

 private:
  Napi::Value encode(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto tokens = model().encode(info[0].As<Napi::String>().Utf8Value());
      auto ids = Napi::Int32Array::New(info.Env(), tokens.size());
      for (size_t i = 0; i < tokens.size(); ++i) ids.Data()[i] = tokens[i].id;
      return ids;
    });
  }
  Napi::Value decode(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const auto ids = integers(info[0]);
      return Napi::String::New(info.Env(), model().decode({ids.Data(), ids.Data() + ids.ElementLength()}));
    });
  }
  Napi::Value size(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value { return Napi::Number::New(info.Env(), model().size()); });
  }

  const SentencePiece& model() const {
    if (!model_) throw Error(kClosed, "no tokenizer was loaded");
    return *model_;
  }

  std::unique_ptr<SentencePiece> model_;
};

}  // namespace

// loadMimi(weights, config or '', { threads, isa }) → Promise<NativeMimi>
Napi::Value load_mimi_codec(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string weights = info[0].As<Napi::String>(), config = info[1].As<Napi::String>();
    auto codec = std::make_shared<Codec>();
    codec->backend = backend_options(info[2].As<Napi::Object>()).cpu();
    return Task::run(
        info.Env(), [=] { codec->mimi = load_mimi(weights, config, *codec->backend); },
        [codec](Napi::Env env) -> Napi::Value {
          const Napi::Object object = env.GetInstanceData<Classes>()->mimi.New({});
          MimiObject::Unwrap(object)->adopt(codec);
          return object;
        });
  });
}

// loadTokenizer(path) → NativeTokenizer
Napi::Value load_tokenizer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto model = std::make_unique<SentencePiece>(info[0].As<Napi::String>().Utf8Value());
    const Napi::Object object = info.Env().GetInstanceData<Classes>()->tokenizer.New({});
    TokenizerObject::Unwrap(object)->adopt(std::move(model));
    return object;
  });
}

void define_codec(Napi::Env env, Classes& classes) {
  classes.mimi = Napi::Persistent(MimiObject::define(env));
  classes.tokenizer = Napi::Persistent(TokenizerObject::define(env));
}

}  // namespace moshi
