// The GPU's kernels on fibers: against plain arithmetic at odd shapes, in every order of threads with the same bits.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <tuple>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "cuda/kernels/kernels.h"
#include "files/tensor_file.h"
#include "model/convert.h"
#include "model/kv_cache.h"
#include "tests/gpu_tools.h"

namespace moshi {

namespace {

using gpu::host::Launch;
using gpu::host::Order;
using Floats = std::vector<float>;

std::mt19937 random_source(7);

Floats normal(int64_t count) {
  return normal_floats(count, random_source);
}

void check_norms(CpuBackend& cpu) {
  for (const auto& [rows, dim, threads] :
       {std::tuple{1, 1, 32}, {3, 33, 32}, {2, 512, 128}, {1, 1031, 256}, {2, 4096, 1024}}) {
    Floats x = normal(rows * dim);
    // Far from zero, where a sum of squares alone would lose the variance.
    for (float& v : x) v += 30;
    Norm norm{NormKind::Rms, 1e-5f, cpu.upload(normal(dim)), {}};
    const std::string shape = std::string(" ") + std::to_string(rows) + "x" + std::to_string(dim);
    for (const NormKind kind : {NormKind::Rms, NormKind::Layer}) {
      const std::string name = std::string(kind == NormKind::Rms ? "GPU RMS norm" : "GPU layer norm") + shape;
      norm.kind = kind;
      if (kind == NormKind::Layer) norm.bias = cpu.upload(normal(dim));
      Floats want(x.size());
      cpu.norm(norm, x.data(), want.data(), rows, dim);
      const Floats got = in_every_order(name, [&](Order order) {
        Floats y(x.size());
        const Launch how{.kernel = "norm", .grid = {rows}, .threads = threads, .order = order};
        if (kind == NormKind::Rms)
          gpu::host::launch(how, rms_norm, x.data(), norm.weight.data(), norm.eps, y.data(), dim);
        else
          gpu::host::launch(how, layer_norm, x.data(), norm.weight.data(), norm.bias.data(), norm.eps, y.data(), dim);
        return y;
      });
      expect(worst(got, want) < (kind == NormKind::Rms ? 1e-6 : 1e-5), name + " agrees with the CPU");
    }
  }
}

void check_elementwise(CpuBackend& cpu) {
  Floats x(4001), want(4001);
  for (int i = 0; i < 4001; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i - 2000) * 0.06f;
  x[0] = -1e30f, x[4000] = 1e30f;
  for (const Activation kind : {Activation::Identity, Activation::Elu, Activation::Gelu, Activation::Silu,
                                Activation::Relu, Activation::Sigmoid, Activation::Tanh}) {
    const std::string name = std::string("GPU activation ") + std::to_string(static_cast<int>(kind));
    cpu.activate(kind, x.data(), want.data(), 4001, 0.7f);
    const Floats got = in_every_order(name, [&](Order order) {
      Floats y(x.size());
      gpu::host::launch({.kernel = "activate", .grid = {5}, .threads = 96, .order = order}, activate, kind, x.data(),
                        y.data(), 4001, 0.7f);
      return y;
    });
    expect(worst(got, want) < 5e-7, name + " agrees with the CPU");
  }
  constexpr int kRows = 3, kDim = 77;
  const Floats pair = normal(kRows * 2 * kDim), update = normal(kRows * kDim), scale = normal(kDim);
  const auto rows = [](const char* kernel, Order order) {
    return Launch{.kernel = kernel, .grid = {2, kRows}, .threads = 32, .order = order};
  };
  Floats gated(kRows * kDim);
  cpu.gate(Activation::Silu, pair.data(), gated.data(), kRows, kDim);
  expect(worst(in_every_order("GPU gate",
                              [&](Order order) {
                                Floats y(kRows * kDim);
                                gpu::host::launch(rows("gate", order), gate, Activation::Silu, pair.data(), y.data(),
                                                  kDim);
                                return y;
                              }),
               gated) < 1e-6,
         "GPU gate agrees with the CPU");
  for (const float* factor : {scale.data(), static_cast<const float*>(nullptr)}) {
    Floats sum = gated;
    cpu.add_scaled(sum.data(), update.data(), factor, kRows, kDim);
    const Floats got = in_every_order("GPU add_scaled", [&](Order order) {
      Floats y = gated;
      gpu::host::launch(rows("add_scaled", order), add_scaled, y.data(), update.data(), factor, kDim);
      return y;
    });
    expect(worst(got, sum) < 1e-6, "GPU add_scaled agrees with the CPU");
  }
  Floats biased = gated;
  cpu.add_bias(biased.data(), scale.data(), kRows, kDim);
  const Floats got = in_every_order("GPU add_bias", [&](Order order) {
    Floats y = gated;
    gpu::host::launch(rows("add_bias", order), add_bias, y.data(), scale.data(), kDim);
    return y;
  });
  expect(got == biased, "GPU add_bias agrees with the CPU");
}

decltype(&attend_f32) attend_kernel(KvType type) {
  return type == KvType::F32 ? attend_f32 : type == KvType::F16 ? attend_f16 : attend_q8;
}

// Rings of one page, of three and of ten that have gone round, two sessions in one call, each row with its own window.
void check_attention(CpuBackend& cpu, KvType type, int head_dim, int warps, int64_t capacity) {
  constexpr int kLayers = 2, kLayer = 1;
  constexpr int64_t kShort = 42;  // positions of the second session
  const AttentionShape shape{4, 2, head_dim, true, true, 10000};
  const int64_t width = shape.q_width() + 2 * shape.kv_width(), out_width = shape.q_width();
  const int64_t around = capacity + 300;
  KvCache caches[] = {{type, kLayers, capacity, shape.kv_heads, head_dim},
                      {type, kLayers, capacity, shape.kv_heads, head_dim}};
  for (KvCache& cache : caches) {
    cache.reserve(cpu, &cache == caches ? capacity : kShort);
    // What was never written is not to be read, not even to count for nothing.
    for (int64_t page = 0; page < (&cache == caches ? cache.pages() : 1); ++page)
      std::memset(cache.keys(page, 0, 0), 0xff, cache.page_bytes());
  }
  Floats qkv;
  std::vector<Row> rows;
  for (int64_t p = 0; p < around; ++p) {
    qkv = normal(2 * width);
    rows = {{&caches[0], p, 0}, {&caches[1], p, 0}};
    rows.resize(p < kShort ? 2 : 1);
    cpu.append(shape, kLayer, qkv.data(), {.host = rows});
  }
  // All of the ring; both ends in one page, with a gap between them; from the middle of one page to that of the next;
  // the first position of a page alone; the last page alone; the last of a ring and its first.
  rows = {{&caches[1], 0, 0},
          {&caches[0], around - 1, around - capacity},
          {&caches[1], kShort - 1, 37},
          {&caches[0], around - 1, around - capacity + 60},
          {&caches[0], capacity + 270, capacity + 20},
          {&caches[0], capacity, capacity},
          {&caches[0], capacity - 1, capacity - 5},
          {&caches[1], kShort - 1, 0},
          {&caches[0], capacity + 1, capacity - 3}};
  if (capacity > 256) {
    rows.push_back({&caches[0], 256, 256});
    rows.push_back({&caches[0], 255, 19});
  } else {
    rows[4] = {&caches[0], around - 1, around - 120};
  }
  const auto n = static_cast<int>(rows.size());
  qkv = normal(n * width);
  Floats want(static_cast<size_t>(n * out_width));
  cpu.attend(shape, kLayer, qkv.data(), want.data(), {.host = rows});

  std::vector<std::vector<const char*>> pages;
  std::vector<RowData> device_rows;
  for (const Row& row : rows) {
    pages.emplace_back();
    for (int64_t page = 0; page < (row.cache == caches ? row.cache->pages() : 1); ++page)
      pages.back().push_back(row.cache->keys(page, 0, 0));
    device_rows.push_back({pages.back().data(), static_cast<int>(row.first), static_cast<int>(row.position)});
  }
  const std::string name = std::string("GPU attention over ") + std::to_string(capacity) + " " + kv_type_name(type) +
                           ", heads of " + std::to_string(head_dim) + ", " + std::to_string(warps) + " warps";
  // Floats, or codes and their scales where there is room for those.
  const auto attend_to = [&](float* out, int8_t* codes, InputScale* scales, int first, int count, Order order) {
    Floats parts(static_cast<size_t>(count * shape.heads * caches[0].pages() * (head_dim + kAttendEnd)), NAN);
    const Attend a{.q = qkv.data() + first * width,
                   .out = out,
                   .codes = codes,
                   .scales = scales,
                   .rows = device_rows.data() + first,
                   .parts = caches[0].pages() > 1 ? parts.data() : nullptr,
                   .q_stride = width,
                   .layer = kLayer,
                   .layers = kLayers,
                   .heads = shape.heads,
                   .kv_heads = shape.kv_heads,
                   .head_dim = head_dim,
                   .page = static_cast<int>(caches[0].page()),
                   .capacity = static_cast<int>(capacity)};
    gpu::host::launch({.kernel = "attend",
                       .grid = {shape.heads, count, static_cast<int>(caches[0].pages())},
                       .threads = 32 * warps,
                       .shared_bytes = static_cast<size_t>(attend_shared_bytes(warps, head_dim)),
                       .order = order},
                      attend_kernel(type), a);
    if (a.parts) gpu::host::launch(launch_of("attend_join", {shape.heads, count}, order), attend_join, a);
  };
  const auto attended = [&](int first, int count, Order order) {
    Floats out(static_cast<size_t>(count * out_width));
    attend_to(out.data(), nullptr, nullptr, first, count, order);
    return out;
  };
  const Floats got = in_every_order(name, [&](Order order) { return attended(0, n, order); });
  expect(worst(got, want) < 3e-6, name + " agrees with the CPU");
  bool same = true;
  for (int i = 0; i < n; ++i) {
    const Floats alone = attended(i, 1, {});
    same &= std::equal(alone.begin(), alone.end(), got.begin() + i * out_width);
  }
  expect(same, name + ": a row alone has the bits it has among others");

  if (head_dim % 32 != 0) return;
  const auto blocks = static_cast<size_t>(n * out_width / 32);
  std::vector<int8_t> codes(32 * blocks);
  std::vector<InputScale> scales(blocks);
  gpu::host::launch(launch_of("quantize_rows", {2, n}, {}), quantize_rows, got.data(), out_width,
                    static_cast<int>(out_width), codes.data(), scales.data());
  for (const Order order : {Order{}, kOtherOrders[0], kOtherOrders[1]}) {
    std::vector<int8_t> left(codes.size());
    std::vector<InputScale> left_scales(blocks);
    attend_to(nullptr, left.data(), left_scales.data(), 0, n, order);
    expect(left == codes && std::memcmp(left_scales.data(), scales.data(), blocks * sizeof(InputScale)) == 0,
           name + " leaves the codes of what it would leave");
  }
}

// The backend's launches: rows that see more and more of a ring of this many positions.
class AttentionCalls {
 public:
  static constexpr int kRows = 130;  // more than go at a time

  AttentionCalls(int head_dim, int64_t capacity)
      : shape({2, 1, head_dim, false, false, 10000}),
        capacity_(capacity),
        width_(shape.q_width() + 2 * shape.kv_width()),
        past_(normal(capacity * width_)),
        now_(normal(kRows * width_)) {}

  // y [count, width] after run(qkv, rows, y) for so many rows; y is of ones before.
  template <typename Run>
  Floats operator()(Backend& backend, int first, int count, int64_t width, Run run) const {
    KvCache cache(KvType::F16, 1, capacity_, shape.kv_heads, shape.head_dim);
    cache.reserve(backend, capacity_);
    std::vector<Row> filled, rows;
    std::vector<RowData> filled_data, data;
    const auto add = [&](std::vector<Row>& to, std::vector<RowData>& to_data, Row row) {
      to.push_back(row);
      to_data.push_back({cache.table(), static_cast<int32_t>(row.first), static_cast<int32_t>(row.position)});
    };
    for (int64_t p = 0; p < capacity_; ++p) add(filled, filled_data, {&cache, p, 0});
    for (int i = first; i < first + count; ++i)
      add(rows, data, {&cache, capacity_ - 1, std::max<int64_t>(0, capacity_ - 1 - 2 * i)});
    Working memory(backend);
    backend.append(shape, 0, memory.placed(std::span(past_)),
                   {.host = filled, .data = memory.placed(std::span<const RowData>(filled_data))});
    const auto* qkv = memory.placed(
        std::span(now_).subspan(static_cast<size_t>(first * width_), static_cast<size_t>(count * width_)));
    Floats back(static_cast<size_t>(count * width), 1.0f);
    float* y = memory.placed(std::span<const float>(back));
    run(qkv, Rows{.host = rows, .data = memory.placed(std::span<const RowData>(data))}, y);
    backend.read(back.data(), y, count * width);
    return back;
  }

  const AttentionShape shape;

 private:
  int64_t capacity_, width_;
  Floats past_, now_;
};

// Over a ring of one page and of several.
void check_attention_launches(CpuBackend& cpu, const gpu::host::StandInKernels& kernels, int64_t capacity) {
  const AttentionCalls calls(16, capacity);
  const int64_t out_width = calls.shape.q_width();
  constexpr int kRows = AttentionCalls::kRows;
  const auto attended = [&](Backend& backend, int first, int count) {
    return calls(backend, first, count, out_width,
                 [&](const float* qkv, const Rows& rows, float* y) { backend.attend(calls.shape, 0, qkv, y, rows); });
  };
  const std::string name = "GPU attention over a ring of " + std::to_string(capacity);
  const Floats got = in_every_order(name, [&](Order order) {
    CudaBackend backend(gpu::host::emulated_driver({.order = order}), {.kernels = kernels.folder()}, 1);
    return attended(backend, 0, kRows);
  });
  expect(worst(got, attended(cpu, 0, kRows)) < 3e-6, name + " is launched for all rows");
  CudaBackend backend(gpu::host::emulated_driver(), {.kernels = kernels.folder()}, 1);
  const Floats alone = attended(backend, kRows - 1, 1);
  expect(std::equal(alone.begin(), alone.end(), got.end() - out_width), name + ": a row alone has the same bits");
  expect(gpu::host::emulated_report().launches == (capacity > KvCache::kPage ? 3 : 2),
         name + " takes one launch a page long and two beyond");
}

// The layer behind it takes its codes from it.
void check_attention_layer(const gpu::host::StandInKernels& kernels, int head_dim, int64_t capacity) {
  const AttentionCalls calls(head_dim, capacity);
  const int64_t cols = calls.shape.q_width(), rows = 40;
  const Floats values = normal(rows * cols);
  StoredMatrix stored{.type = DType::F32, .rows = rows, .cols = cols, .bytes = {}, .scales = {}, .offsets = {}};
  stored.bytes.resize(values.size() * sizeof(float));
  std::memcpy(stored.bytes.data(), values.data(), stored.bytes.size());
  stored = converted(std::move(stored), DType::Q8_0);
  CudaBackend backend(gpu::host::emulated_driver(), {.kernels = kernels.folder()}, 1);
  const Matrix w = backend.pack(stored);
  int launches = 0;
  const auto run = [&](bool at_once) {
    const int before = gpu::host::emulated_report().launches;
    Floats out = calls(backend, 0, AttentionCalls::kRows, rows, [&](const float* qkv, const Rows& placed, float* y) {
      if (at_once)
        backend.add_linear_of_attention(w, calls.shape, 0, qkv, placed, nullptr, y);
      else
        backend.Backend::add_linear_of_attention(w, calls.shape, 0, qkv, placed, nullptr, y);
    });
    launches = gpu::host::emulated_report().launches - before;
    return out;
  };
  const std::string name = "GPU attention over a ring of " + std::to_string(capacity) + ", heads of " +
                           std::to_string(head_dim) + ", and the layer behind it";
  const Floats want = run(false);
  const int apart = launches;
  expect(run(true) == want, name + " give the same bits at once");
  expect(launches == apart - (head_dim % 32 == 0 ? 1 : 0), name + " take one launch less where codes are whole blocks");
}

struct Launched {
  unsigned rows;
  Append what;
};
std::vector<Launched> launched;

// More rows than a grid has: what is launched for them, as it would take long to run.
void check_many_rows(const gpu::host::StandInKernels& kernels) {
  constexpr int kRows = 65535 + 10;
  const auto driver = gpu::host::emulated_driver();
  auto noting = std::make_shared<DriverApi>(*driver);
  noting->launch = [](cu::Function, unsigned, unsigned y, unsigned, unsigned, unsigned, unsigned, unsigned, cu::Stream,
                      void** parameters, void**) {
    launched.push_back({y, *static_cast<Append*>(parameters[0])});
    return cu::kSuccess;
  };
  CudaBackend backend(noting, {.kernels = kernels.folder()}, 1);
  const AttentionShape shape{2, 1, 16, true, false, 10000};
  KvCache cache(KvType::F16, 1, 32, shape.kv_heads, shape.head_dim);
  const std::vector<Row> host(kRows, Row{&cache, 0, 0});
  const Buffer memory = backend.allocate(1000);
  // Of these only places are taken.
  const Rows rows{.host = host,
                  .data = reinterpret_cast<const RowData*>(memory.data()),
                  .rotations = memory.data(),
                  .rotation = 16};
  backend.append(shape, 0, memory.data(), rows);
  expect(launched.size() == 2 && launched[0].rows == 65535 && launched[1].rows == 10,
         "GPU append: as many launches as grids take");
  const auto& [count, second] = launched.back();
  expect(second.qkv == memory.data() + int64_t{65535} * 64 && second.rows == rows.data + 65535 &&
             second.rotations == memory.data() + 65535 * 16,
         "GPU append: the second has what follows the first's");
}

}  // namespace

void check_gpu() {
  CpuBackend cpu(1, "baseline");
  check_norms(cpu);
  check_elementwise(cpu);
  for (const KvType type : {KvType::F32, KvType::F16, KvType::Q8})
    for (const auto& [head_dim, warps, capacity] :
         {std::tuple{6, 2, 200}, {8, 1, 2400}, {20, 3, 700}, {64, 2, 200}, {128, 8, 700}, {136, 2, 700}, {256, 8, 250}})
      check_attention(cpu, type, head_dim, warps, capacity);
  const gpu::host::StandInKernels kernels;
  for (const int64_t capacity : {256, 300}) {
    check_attention_launches(cpu, kernels, capacity);
    for (const int head_dim : {32, 48}) check_attention_layer(kernels, head_dim, capacity);
  }
  check_many_rows(kernels);
}

}  // namespace moshi
