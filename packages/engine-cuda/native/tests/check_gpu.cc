// The GPU's kernels on fibers: against plain arithmetic at odd shapes, in every order of threads with the same bits.
#include <cstdio>
#include <random>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cuda/host/sanitizers.h"
#include "cuda/kernels/kernels.h"
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

// Rings of several pages that have gone round, two sessions in one call, each with its own window.
void check_attention(CpuBackend& cpu, KvType type, int head_dim, int warps) {
  constexpr int kLayers = 2, kLayer = 1;
  const AttentionShape shape{4, 2, head_dim, true, true, 10000};
  const int64_t width = shape.q_width() + 2 * shape.kv_width(), capacity = 300;
  KvCache caches[] = {{type, kLayers, capacity, shape.kv_heads, head_dim},
                      {type, kLayers, capacity, shape.kv_heads, head_dim}};
  Floats qkv;
  std::vector<Row> rows;
  const int64_t lasts[] = {0, 353, 41}, firsts[] = {0, 60, 37};
  for (int64_t p = 0; p <= 353; ++p) {
    qkv = normal(2 * width);
    rows = {{&caches[0], p, 0}, {&caches[1], p, 0}};
    // The second stops early, so that its last page is not there.
    rows.resize(p <= 41 ? 2 : 1);
    for (const Row& row : rows) row.cache->reserve(cpu, p + 1);
    cpu.append(shape, kLayer, qkv.data(), {.host = rows});
  }
  qkv = normal(3 * width);
  rows = {{&caches[1], lasts[0], firsts[0]}, {&caches[0], lasts[1], firsts[1]}, {&caches[1], lasts[2], firsts[2]}};
  Floats want(static_cast<size_t>(3 * shape.q_width()));
  cpu.attend(shape, kLayer, qkv.data(), want.data(), {.host = rows});

  std::vector<std::vector<const char*>> pages;
  std::vector<RowData> device_rows;
  for (const Row& row : rows) {
    pages.emplace_back();
    for (int64_t page = 0; page * row.cache->page() <= std::min(row.position, capacity - 1); ++page)
      pages.back().push_back(row.cache->keys(page, 0, 0));
    device_rows.push_back({pages.back().data(), static_cast<int>(row.first), static_cast<int>(row.position)});
  }
  const std::string name = std::string("GPU attention over ") + kv_type_name(type) + ", heads of " +
                           std::to_string(head_dim) + ", " + std::to_string(warps) + " warps";
  const Floats got = in_every_order(name, [&](Order order) {
    Floats out(want.size());
    const Attend a{.q = qkv.data(),
                   .out = out.data(),
                   .rows = device_rows.data(),
                   .q_stride = width,
                   .out_stride = shape.q_width(),
                   .layer = kLayer,
                   .layers = kLayers,
                   .heads = shape.heads,
                   .kv_heads = shape.kv_heads,
                   .head_dim = head_dim,
                   .page = static_cast<int>(caches[0].page()),
                   .capacity = static_cast<int>(capacity)};
    gpu::host::launch({.kernel = "attend",
                       .grid = {shape.heads, 3},
                       .threads = 32 * warps,
                       .shared_bytes = static_cast<size_t>(attend_shared_bytes(warps, head_dim)),
                       .order = order},
                      type == KvType::F32   ? attend_f32
                      : type == KvType::F16 ? attend_f16
                                            : attend_q8,
                      a);
    return out;
  });
  expect(worst(got, want) < 3e-6, name + " agrees with the CPU");
}

}  // namespace

void check_gpu() {
  if (gpu::host::kThreadSanitizer) {
    std::printf("skip  GPU kernels: the sanitizer takes a hundred times as long, and fibers share one thread anyway\n");
    return;
  }
  CpuBackend cpu(1, "baseline");
  check_norms(cpu);
  check_elementwise(cpu);
  for (const KvType type : {KvType::F32, KvType::F16, KvType::Q8})
    for (const auto& [head_dim, warps] : {std::pair{6, 2}, {8, 1}, {20, 3}, {128, 4}, {136, 2}, {256, 8}})
      check_attention(cpu, type, head_dim, warps);
}

}  // namespace moshi
