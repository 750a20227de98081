// What a machine can do, and what of it a model reaches: everything is measured in one process, on the engine's own
// threads or on a GPU, so that ratios can be compared where times cannot. One call at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "model/kv_cache.h"
#include "model/precision.h"
#include "runtime/checkpoint.h"
#include "runtime/synthetic_models.h"
#include "runtime/timed_backend.h"
#include "runtime/yardstick.h"

namespace moshi {

// Milliseconds, or bytes a second, over some repeats.
struct Repeats {
  double best = 0, median = 0;
};

struct LayerTimes {
  uint64_t bytes = 0;  // of weights, read once by a pass over all the layers
  Repeats one, eight;  // milliseconds of a pass for so many rows
  double of_read = 0;  // the bytes over `one`, over the yardstick before and after; the middle of such ratios
};

struct LoadTimes {
  int heard = 0, spoken = 0;              // codebooks of the user and of the model; both 0: a codec alone
  bool persona = false;                   // it takes a voice and a role
  Precision weights = Precision::Stored;  // as run
  KvType kv = KvType::F32;
  double ms = 0;
  // The most memory taken beyond what was taken before; 0 = unknown. Of a GPU's memory where the model is on one.
  uint64_t packed_bytes = 0, peak_bytes = 0;
};

// Where the time of a frame went, in the fastest. A GPU does not say.
struct StageTime {
  std::string stage, kind;  // kind: "linear", "attention", "rest"
  double ms = 0;
  uint64_t bytes = 0;
};

struct FrameTimes {
  int frames = 0;                     // that were measured
  Repeats encode, lm, decode, total;  // of all conversations together
  uint64_t weight_bytes = 0, kv_bytes = 0;
  double of_read = 0;         // as for layers: all bytes over lm
  double linear_of_read = 0;  // those of linear layers over their time; 0 on a GPU
  double over_first = 1;      // lm over that of the first group in the same turn; the middle one
  std::vector<StageTime> stages;
};

struct CodecTimes {
  Repeats encode, decode;
  // These stay empty on a GPU.
  double convolution_flops = 0, convolution_ms = 0;  // of both, in linear()
  double of_peak = 0;                                // the one over the other, over the cores' best before and after
  std::vector<StageTime> encode_stages, decode_stages;
};

struct BenchModel {
  std::string synthetic;    // a name without "synthetic:"; empty: files
  CheckpointFiles files{};  // its weights and kv are chosen, or left open, for synthetic models too
};

class Bench {
 public:
  // On the CPU or a GPU; isa: what the CPU backend was told.
  explicit Bench(std::unique_ptr<Backend> backend, std::string isa = "");
  Bench(int threads, const std::string& isa);

  // Of the CPU that work is shared among; 1 for a GPU, which shares none.
  int threads() const { return cpu_ ? cpu_->threads() : 1; }
  std::string name() const { return backend_->name(); }
  const Card* card() const { return gpu_ ? &gpu_->card() : nullptr; }  // null on the CPU

  // These go on for `spend` milliseconds.
  //
  // Bytes a second that so many threads read of a buffer, which should be far larger than any cache: `bytes`, or what
  // the machine's memory bears. A GPU copies it, and what it reads and writes counts.
  Repeats read(int threads, uint64_t bytes, double spend) const;
  // Floating-point operations a second of one core that does nothing but independent multiply-adds; 0 for a GPU.
  double flops(double spend) const;
  // The linear layers of a 7B's temporal transformer, as many as take `bytes`, or what the machine's memory bears.
  LayerTimes layers(DType type, uint64_t bytes, double spend) const;

  // Loads a model's weights for so many conversations that have come as far as `position`. Throws Error(kBadOption)
  // when the machine's memory, or the GPU's, does not hold them.
  LoadTimes load(const BenchModel& model, int conversations, int64_t position);
  bool has_lm() const { return lm_ != nullptr; }
  const LmConfig& lm_config() const { return lm_->config(); }
  // Groups of so many conversations from `position` on, sound to sound. They take turns, so that whatever else the
  // machine does falls on all of them.
  std::vector<FrameTimes> frames(const std::vector<int>& sessions, int64_t position, int frames) const;
  // The language model's steps of one conversation, which from here on are taken in the faster way; nothing on the CPU.
  std::optional<Tuned> tune(int64_t position);
  // One frame of the codec alone, on one thread or all, or on the GPU.
  CodecTimes codec(bool one_thread, int codebooks, int frames) const;
  int codebooks() const;
  void unload();

 private:
  // For plain reading of `bytes`, or copying of so many.
  std::unique_ptr<Yardstick> yardstick(uint64_t bytes, bool one_thread = false) const;
  uint64_t free_memory() const;

  std::string isa_;
  std::unique_ptr<Backend> backend_;
  CpuBackend* cpu_;   // what backend_ is, or null
  CudaBackend* gpu_;  // likewise
  std::unique_ptr<TimedBackend> timed_;
  const Kernels& kernels_;
  uint64_t size_ = 0;  // of the language model, packed
  std::function<std::unique_ptr<Mimi>(Backend&)> make_mimi_;
  std::unique_ptr<Lm> lm_;
  std::unique_ptr<Mimi> mimi_;
};

}  // namespace moshi
