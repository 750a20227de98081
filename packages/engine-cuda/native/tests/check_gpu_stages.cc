// Small operations of a program as stages of one launch: the bits they have in launches of their own, at odd shapes, in
// every order of threads; and that a GPU which cannot do it, or is slower that way, does without.
#include <cstdio>
#include <random>
#include <vector>

#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "model/kv_cache.h"
#include "tests/gpu_linear_tools.h"
#include "tests/gpu_tools.h"

namespace moshi {

using gpu::host::DriverFault;
using gpu::host::emulated_driver;
using gpu::host::emulated_report;
using gpu::host::EmulatedOptions;

namespace {

// A layer as the depth transformer has it, of `dim` columns, `wide` of them behind its gate, and heads that share keys.
struct Shape {
  int64_t dim, wide, head_dim;
  int heads, kv_heads;
  AttentionShape attention() const { return {heads, kv_heads, static_cast<int>(head_dim), false, false, 10000}; }
};
constexpr int kPositions = 3, kLayers = 2;

struct Block {
  StoredMatrix in, out, gate_in, gate_out, head;
  Floats norm;
};

Block random_block(const Kind& kind, const Shape& s) {
  const auto matrix = [&](int64_t rows, int64_t cols) {
    return random_matrix(kind.type, rows, cols, kind.bits, kind.group > 0 ? kind.group : cols);
  };
  const AttentionShape a = s.attention();
  return {matrix(a.q_width() + 2 * a.kv_width(), s.dim),
          matrix(s.dim, a.q_width()),
          matrix(2 * s.wide, s.dim),
          matrix(s.dim, s.wide),
          matrix(7, s.dim),
          normal(s.dim)};
}

// What kPositions steps of kLayers layers make of x for n conversations, each a program; three times, as it is, while
// it is recorded, and from the recording. Between two layers comes what is no stage.
Floats steps(CudaBackend& backend, const Block& block, const Shape& s, int64_t n) {
  const AttentionShape a = s.attention();
  const Matrix in = backend.pack(block.in), out = backend.pack(block.out), gate_in = backend.pack(block.gate_in),
               gate_out = backend.pack(block.gate_out), head = backend.pack(block.head);
  const Norm norm{NormKind::Rms, 1e-5f, backend.upload(block.norm), {}};
  const int64_t qkv_width = a.q_width() + 2 * a.kv_width();
  Floats said;
  for (int round = 0; round < 3; ++round) {
    std::mt19937 source(7);
    std::vector<KvCache> rings;
    for (int64_t i = 0; i < n; ++i)
      rings.emplace_back(KvType::F32, kLayers, kPositions + 1, s.kv_heads, s.head_dim).reserve(backend, kPositions);
    for (int position = 0; position < kPositions; ++position) {
      Working memory(backend);
      std::vector<Row> rows;
      std::vector<RowData> data;
      for (KvCache& ring : rings) {
        rows.push_back({&ring, position, position > 1 ? 1 : 0});
        data.push_back({ring.table(), static_cast<int32_t>(rows.back().first), position});
      }
      const Rows placed{.host = rows, .data = memory.placed(std::span<const RowData>(data))};
      const Floats start = normal_floats(n * s.dim, source);
      float* x = memory.placed(std::span<const float>(start));
      float *qkv = memory.floats(n * qkv_width), *wide = memory.floats(n * 2 * s.wide), *logits = memory.floats(n * 7);
      const std::vector<uint64_t> key{static_cast<uint64_t>(position), static_cast<uint64_t>(n)};
      backend.program(key, [&] {
        for (int layer = 0; layer < kLayers; ++layer) {
          backend.linear_of_norm(in, norm, x, qkv, n, Activation::Identity);
          backend.append(a, layer, qkv, placed);
          backend.add_linear_of_attention(out, a, layer, qkv, placed, nullptr, x);
          backend.linear_of_norm(gate_in, norm, x, wide, n, Activation::Identity);
          backend.add_linear_of_gate(gate_out, Activation::Silu, wide, nullptr, x, n);
          if (layer == 0) backend.activate(Activation::Tanh, x, x, n * s.dim, 1);
        }
        backend.linear(head, x, s.dim, logits, 7, n, false);
      });
      Floats values(static_cast<size_t>(n * 7));
      backend.read(values.data(), logits, n * 7);
      said.insert(said.end(), values.begin(), values.end());
    }
  }
  return said;
}

struct Said {
  Floats values;
  int launches;
  std::string note;
};
Said steps(const std::string& kernels, const EmulatedOptions& options, bool stages, const Block& block, const Shape& s,
           int64_t n, bool graphs = true) {
  Said out;
  {
    CudaBackend backend(emulated_driver(options), {.graphs = graphs, .stages = stages, .kernels = kernels}, 1);
    out.values = steps(backend, block, s, n);
    out.note = backend.stage_note();
  }
  out.launches = emulated_report().launches;
  for (const std::string& mistake : emulated_report().mistakes) expect(false, "GPU stages: no mistake: " + mistake);
  return out;
}

// Heads that share a position among fewer lanes than they have, one that fills a warp, and columns that fill no block.
constexpr Shape kShapes[] = {{96, 160, 20, 8, 2}, {256, 512, 128, 1, 1}, {40, 24, 36, 2, 2}};

void check_bits(const std::string& kernels) {
  for (const Kind& kind : kKinds) {
    const Shape& s = kind.type == DType::Q4_K ? kShapes[1] : kind.type == DType::F32 ? kShapes[2] : kShapes[0];
    const Block block = random_block(kind, s);
    for (const int64_t n : {1, 2, 3, 5}) {
      const std::string name = "GPU stages, " + name_of(block.in) + ", " + std::to_string(n) + " rows";
      const Said apart = steps(kernels, {}, false, block, s, n), together = steps(kernels, {}, true, block, s, n);
      expect(together.values == apart.values, name + ": the bits of launches of their own");
      expect(n > 4 ? together.launches >= apart.launches : 2 * together.launches < apart.launches,
             name + ": fewer launches where there are few rows");
    }
  }
}

// Few heads of one conversation, and more of four than two blocks have warps.
void check_orders(const std::string& kernels) {
  constexpr Shape kMany{64, 96, 12, 8, 8};
  for (const auto& [s, n] : {std::pair{kShapes[0], 1}, {kMany, 4}}) {
    const Block block = random_block({DType::Q8_0, 8, 32}, s);
    const Floats want = steps(kernels, {}, false, block, s, n).values;
    for (const gpu::host::Order order : kOtherOrders)
      for (const int multiprocessors : {1, 2})
        expect(steps(kernels, {.multiprocessors = multiprocessors, .order = order}, true, block, s, n).values == want,
               "GPU stages: the order of threads changes no bit");
    expect(steps(kernels, {}, true, block, s, n, false).values == want, "GPU stages: nor do graphs");
  }
}

// More layers than a launch takes, of two forms, for two numbers of rows.
void check_splits(const std::string& kernels) {
  constexpr int64_t kDim = 32;
  std::vector<StoredMatrix> stored;
  for (int i = 0; i < 3 * kMostStages; ++i)
    stored.push_back(random_matrix(i / (kMostStages + 7) % 2 == 0 ? DType::F16 : DType::Q8_0, kDim, kDim));
  const Floats start = normal(2 * kDim);
  Floats last;
  for (const bool together : {false, true}) {
    CudaBackend backend(emulated_driver(), {.stages = together, .kernels = kernels}, 1);
    const Buffer x = backend.upload(start), y = backend.allocate(2 * kDim), ones = backend.upload(Floats(kDim, 1.0f));
    const Norm norm{NormKind::Rms, 1e-5f, ones, {}};
    std::vector<Matrix> layers;
    for (const StoredMatrix& one : stored) layers.push_back(backend.pack(one));
    Floats got(2 * kDim);
    backend.program(std::vector<uint64_t>{1}, [&] {
      for (size_t i = 0; i < layers.size(); ++i) {
        const bool even = i % 2 == 0;
        backend.linear_of_norm(layers[i], norm, even ? x.data() : y.data(), even ? y.data() : x.data(),
                               i < 2 * kMostStages ? 2 : 1, Activation::Identity);
      }
    });
    backend.read(got.data(), x.data(), 2 * kDim);
    if (together) expect(got == last, "GPU stages: more of them than fit into a launch");
    last = got;
  }
  expect(last != start, "GPU stages: and they do something");
}

// A layer that nothing follows has its own launch; two of three rows leave alone what lies behind those.
void check_edges(const std::string& kernels) {
  constexpr int64_t kDim = 64, kRows = 3;
  const StoredMatrix stored = random_matrix(DType::Q8_0, kDim, kDim);
  const Floats start = normal(kRows * kDim), behind(kDim, 7.0f);
  for (const int layers : {1, 2}) {
    Floats want;
    int apart = 0;
    for (const bool together : {false, true}) {
      CudaBackend backend(emulated_driver(), {.stages = together, .kernels = kernels}, 1);
      const Matrix w = backend.pack(stored);
      const Buffer x = backend.upload(start), y = backend.allocate((kRows + 1) * kDim),
                   z = backend.allocate((kRows + 1) * kDim);
      for (const Buffer* one : {&y, &z}) backend.write(one->data() + kRows * kDim, behind.data(), kDim);
      // The trial of cooperative launches comes with the first program.
      backend.program(std::vector<uint64_t>{0}, [] {});
      const int before = emulated_report().launches;
      backend.program(std::vector<uint64_t>{1}, [&] {
        backend.linear(w, x.data(), kDim, y.data(), kDim, kRows, false);
        if (layers == 2) backend.linear(w, y.data(), kDim, z.data(), kDim, kRows, false);
      });
      const Buffer& last = layers == 2 ? z : y;
      Floats got((kRows + 1) * kDim);
      backend.read(got.data(), last.data(), (kRows + 1) * kDim);
      expect(std::equal(behind.begin(), behind.end(), got.begin() + kRows * kDim),
             "GPU stages: nothing is written behind the rows there are");
      const int launches = emulated_report().launches - before;
      if (together)
        expect(got == want && (layers == 1 ? launches == apart : launches == 1),
               "GPU stages: a layer that nothing follows is launched as it is otherwise");
      want = got;
      apart = launches;
    }
  }
}

void check_without(const std::string& kernels) {
  const Block block = random_block({DType::Q8_0, 8, 32}, kShapes[0]);
  const Said apart = steps(kernels, {}, false, block, kShapes[0], 1);
  const auto fails = [](const char* call, int which) {
    return EmulatedOptions{.fault = {.call = call, .which = which, .status = cu::kNotSupported, .lasting = true}};
  };
  const EmulatedOptions cannot[] = {{.cooperative = false},
                                    fails("cuLaunchCooperativeKernel", 1),
                                    // While it is recorded.
                                    fails("cuLaunchCooperativeKernel", 2)};
  for (const EmulatedOptions& options : cannot) {
    const Said got = steps(kernels, options, true, block, kShapes[0], 1);
    expect(got.values == apart.values && !got.note.empty(), "GPU stages: a GPU without them is none the worse");
    expect(got.launches >= apart.launches, "GPU stages: and takes none: " + got.note);
    expect(emulated_report().graphs > 0, "GPU stages: though it has graphs");
  }
}

void check_tuning(const std::string& kernels) {
  const Block block = random_block({DType::F16, 8, 32}, kShapes[0]);
  for (const bool faster : {true, false}) {
    CudaBackend backend(emulated_driver(), {.kernels = kernels}, 1);
    const auto launches = [&] {
      const int before = emulated_report().launches;
      steps(backend, block, kShapes[0], 1);
      return emulated_report().launches - before;
    };
    std::vector<int> seen;
    const auto tuned = backend.tune([&] {
      seen.push_back(launches());
      return (seen.size() == 1) == faster ? 1.0 : 2.0;
    });
    expect(tuned && tuned->together == faster && seen.size() == 2 && seen[0] < seen[1],
           "GPU stages: both ways are timed");
    expect((launches() < seen[1]) == faster, "GPU stages: and the faster one is taken");
  }
}

}  // namespace

void check_gpu_stages() {
  const gpu::host::StandInKernels kernels;
  check_bits(kernels.folder());
  check_orders(kernels.folder());
  check_splits(kernels.folder());
  check_edges(kernels.folder());
  check_without(kernels.folder());
  check_tuning(kernels.folder());
}

}  // namespace moshi
