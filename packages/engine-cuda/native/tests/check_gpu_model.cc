// The whole model on a GPU made of fibers: conversations in company, recorded programs, every order of threads, every
// generation of GPUs, and the CPU's answers.
#include <cstdio>

#include "cpu/cpu_backend.h"
#include "cuda/host/sanitizers.h"
#include "tests/check_gpu_driver.h"
#include "tests/gpu_model.h"
#include "tests/gpu_tools.h"
#include "tests/talks.h"

namespace moshi {

using gpu::host::emulated_driver;
using gpu::host::emulated_report;
using gpu::host::Order;

namespace {

using Floats = std::vector<float>;

constexpr std::pair<Precision, KvType> kForms[] = {{Precision::Stored, KvType::F32},
                                                   {Precision::F16, KvType::F16},
                                                   {Precision::Q8, KvType::F16},
                                                   {Precision::Mixed, KvType::Q8},
                                                   {Precision::Q4, KvType::Q8}};

std::string form_name(Precision weights, KvType ring) {
  return std::string(precision_name(weights)) + " weights, " + kv_type_name(ring) + " ring";
}

void expect_clean(const std::string& name) {
  for (const std::string& mistake : emulated_report().mistakes) expect(false, name + ": no mistake: " + mistake);
}

// Batches stay below nine, where another kernel takes over that adds in another order.
void check_company(const std::string& kernels) {
  constexpr int kConversations = 4, kSteps = 12;
  std::mt19937 random(5);
  for (const auto& [weights, ring] : kForms) {
    const std::string name = "GPU batch: " + form_name(weights, ring);
    const SmallFiles files(weights);
    {
      const auto backend = small_gpu(emulated_driver(), kernels);
      const Lm lm = small_lm(files, *backend, ring);
      const std::vector<Record> crowd = in_company(lm, kConversations, kSteps, random, 3);
      for (int i = 0; i < kConversations; ++i)
        expect(alone(lm, i, kSteps, true).same(crowd[static_cast<size_t>(i)]), name + ": company changes no bit");
      expect(crowd[0].said != crowd[1].said, name + ": conversations differ");
      expect(emulated_report().graphs > 0 && backend->card().graphs(), name + ": programs are played");
    }
    expect_clean(name);
  }
}

// Conversations whose steps are run as programs, and the codec after them.
struct Played {
  std::vector<Record> talks;
  std::vector<int32_t> codes;
  Floats pcm;
  bool operator==(const Played& other) const {
    bool same = talks.size() == other.talks.size() && codes == other.codes && pcm == other.pcm && !pcm.empty();
    for (size_t i = 0; same && i < talks.size(); ++i) same = talks[i].same(other.talks[i]);
    return same;
  }
};

Played play(const SmallFiles& files, Backend& backend, KvType ring) {
  constexpr int kSteps = 6, kFrames = 5, kCodebooks = 4;
  Played out;
  const Lm lm = small_lm(files, backend, ring);
  std::mt19937 random(1);
  out.talks = in_company(lm, 2, kSteps, random, 4);
  const Mimi mimi = small_mimi(files, backend);
  const int64_t samples = mimi.frame_samples();
  const Floats sound = tone(kFrames * samples);
  out.codes.resize(kFrames * kCodebooks);
  out.pcm.resize(sound.size());
  MimiState in = mimi.make_encoder(), back = mimi.make_decoder();
  // The last two frames in one call.
  for (const auto& [frame, count] : {std::pair{0, 1}, {1, 1}, {2, 1}, {3, 2}}) {
    int32_t* codes = &out.codes[static_cast<size_t>(frame * kCodebooks)];
    mimi.encode(in, &sound[static_cast<size_t>(frame * samples)], count, kCodebooks, codes);
    mimi.decode(back, codes, count, kCodebooks, &out.pcm[static_cast<size_t>(frame * samples)]);
  }
  return out;
}

void check_programs(const std::string& kernels) {
  const SmallFiles files(Precision::Q8);
  Played recorded;
  {
    const auto backend = small_gpu(emulated_driver(), kernels);
    recorded = play(files, *backend, KvType::F16);
    expect(emulated_report().graphs > 0, "GPU programs: graphs are played");
    // Long enough that more words are held against it than when its step was recorded.
    const Lm lm = small_lm(files, *backend, KvType::F16);
    expect(alone(lm, 1, 40, false).same(alone(lm, 1, 40, true)),
           "GPU programs: what a step needs may grow after it was recorded");
  }
  expect_clean("GPU programs");
  {
    const auto backend = small_gpu(emulated_driver(), kernels, false);
    expect(play(files, *backend, KvType::F16) == recorded && emulated_report().graphs == 0,
           "GPU programs: without graphs the bits are the same");
  }
  for (const char* call : {"cuGraphInstantiate", "cuStreamEndCapture"}) {
    const auto backend = small_gpu(
        emulated_driver({.fault = {.call = call, .which = 1, .status = cu::kNotSupported, .lasting = true}}), kernels);
    const Played got = play(files, *backend, KvType::F16);
    expect(got == recorded && emulated_report().failed && emulated_report().graphs == 0 &&
               backend->card().graph_note().find(call) != std::string::npos,
           std::string("GPU programs: where ") + call + " fails it goes on without them, the bits are the same");
  }
  expect_clean("GPU programs without graphs");
  for (const Order order : kOtherOrders) {
    const auto backend = small_gpu(emulated_driver({.order = order}), kernels);
    expect(play(files, *backend, KvType::F16) == recorded, "GPU model: the order of threads changes no bit, " +
                                                               std::to_string(static_cast<int>(order.kind)) + "/" +
                                                               std::to_string(order.seed));
  }
  expect_clean("GPU model in other orders");
}

// What was recorded for one model, or for rings of one length, is never played for another in its place.
void check_replaced(const std::string& kernels) {
  const SmallFiles first(Precision::F16), second(Precision::Q8);
  constexpr int kFrames = 12, kCodebooks = 4;
  const auto encode = [&](Backend& backend, const Mimi& mimi, int64_t most) {
    const int64_t samples = mimi.frame_samples();
    const Floats sound = tone(kFrames * samples);
    MimiState state = mimi.make_encoder(most);
    std::vector<int32_t> codes(kFrames * kCodebooks);
    for (int64_t f = 0; f < kFrames; ++f)
      mimi.encode(state, &sound[static_cast<size_t>(f * samples)], 1, kCodebooks,
                  &codes[static_cast<size_t>(f * kCodebooks)]);
    const Floats ring = state.transformer.cache.read(backend, 0, true, state.transformer.cache.capacity());
    return std::pair{codes, ring};
  };
  const auto driver = emulated_driver();
  Played want;
  std::pair<std::vector<int32_t>, Floats> live;
  {
    const auto backend = small_gpu(driver, kernels, false);
    want = play(second, *backend, KvType::F16);
    live = encode(*backend, small_mimi(second, *backend), 0);
  }
  {
    const auto backend = small_gpu(driver, kernels);
    play(first, *backend, KvType::F16);
    expect(play(second, *backend, KvType::F16) == want, "GPU programs: a model in another's place is not taken for it");
    const Mimi mimi = small_mimi(second, *backend);
    encode(*backend, mimi, kFrames);
    expect(encode(*backend, mimi, 0) == live, "GPU programs: a ring is not taken for a longer one");
  }
  expect_clean("GPU programs of what was replaced");
}

// What a model makes of tokens that are given: n positions of one conversation in a call, and n more, so that the ring
// goes round.
struct Forward {
  Floats hidden, text, audio;
};
Forward forward(const Lm& lm, int n) {
  const LmConfig& config = lm.config();
  const auto count = static_cast<size_t>(n);
  Forward out;
  TransformerState state = lm.make_temporal();
  std::vector<TransformerState> depth;
  for (int i = 0; i < n; ++i) depth.push_back(lm.make_depth());
  for (int call = 0; call < 2; ++call) {
    std::vector<int32_t> tokens;
    for (int i = 0; i < n * config.streams(); ++i) tokens.push_back(static_cast<int32_t>((i * 7 + call) % config.card));
    std::vector<Row> rows;
    state.extend(rows, n, config.temporal.context);
    Floats hidden(count * static_cast<size_t>(lm.dim())), text(count * static_cast<size_t>(config.text_card_out));
    lm.temporal(tokens.data(), rows, hidden.data(), text.data());
    for (TransformerState& one : depth) one.reset();
    for (int k = 0; k < lm.codebooks(); ++k) {
      rows.clear();
      for (TransformerState& one : depth) one.extend(rows, 1, 0);
      Floats logits(count * static_cast<size_t>(config.card));
      lm.depth(k, &tokens[static_cast<size_t>(k * n)], hidden.data(), rows, logits.data());
      out.audio.insert(out.audio.end(), logits.begin(), logits.end());
    }
    out.hidden.insert(out.hidden.end(), hidden.begin(), hidden.end());
    out.text.insert(out.text.end(), text.begin(), text.end());
  }
  return out;
}

// The largest difference over the largest value, of all that forward() gives.
double apart(const Forward& a, const Forward& b) {
  double most = 0;
  for (const auto& [got, want] : {std::pair{&a.hidden, &b.hidden}, {&a.text, &b.text}, {&a.audio, &b.audio}}) {
    double size = 0;
    for (const float v : *want) size = std::fmax(size, std::fabs(v));
    // worst() is relative where values are above one.
    Floats x = *got, y = *want;
    for (float& v : x) v /= static_cast<float>(size);
    for (float& v : y) v /= static_cast<float>(size);
    most = std::fmax(most, worst(x, y));
  }
  return most;
}

// One row, some, and more than the kernels for few rows take.
constexpr int kRows[] = {1, 3, 9};
// Those with other ways to multiply matrices.
constexpr int kArchs[] = {61, 75, 80};

void check_against_cpu(const std::string& kernels) {
  CpuBackend cpu(1, "baseline");
  for (const auto& [weights, ring] : kForms) {
    // Where a value lies next to a tie, inputs and rings in whole numbers may be one off.
    const bool exact = weights == Precision::Stored || weights == Precision::F16;
    const SmallFiles files(weights);
    const Lm reference = small_lm(files, cpu, ring);
    const Mimi codec = small_mimi(files, cpu);
    for (const int arch : kArchs) {
      // The sanitizer takes several times as long.
      if (gpu::host::kAddressSanitizer && arch != 80) continue;
      const std::string name = "sm_" + std::to_string(arch) + ", " + form_name(weights, ring);
      {
        const auto backend = small_gpu(emulated_driver({.arch = arch}), kernels);
        const Lm lm = small_lm(files, *backend, ring);
        for (const int n : kRows) {
          const double error = apart(forward(lm, n), forward(reference, n));
          // Matrix units take BF16 weights' inputs as two halves of 8 bits each.
          expect(error < (exact ? 5e-5 : 3e-2),
                 name + ": " + std::to_string(n) + " rows agree with the CPU, but for " + std::to_string(error));
        }
      }
      expect_clean(name);
    }
  }
}

void check_codec(const std::string& kernels) {
  const SmallFiles files(Precision::Stored);
  CpuBackend cpu(1, "baseline");
  const Played want = play(files, cpu, KvType::F32);
  for (const int arch : kArchs) {
    const auto backend = small_gpu(emulated_driver({.arch = arch}), kernels);
    const Played got = play(files, *backend, KvType::F32);
    const std::string name = "GPU codec, sm_" + std::to_string(arch);
    expect(got.codes == want.codes, name + ": codes are the CPU's");
    expect(worst(got.pcm, want.pcm) < 1e-5, name + ": sound agrees with the CPU");
  }
}

}  // namespace

void check_gpu_model() {
  const gpu::host::StandInKernels kernels;
  check_company(kernels.folder());
  check_programs(kernels.folder());
  check_replaced(kernels.folder());
  check_against_cpu(kernels.folder());
  check_codec(kernels.folder());
  check_gpu_faults(kernels.folder());
}

}  // namespace moshi
