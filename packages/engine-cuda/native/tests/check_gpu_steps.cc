// The GPU's kernels around linear layers on fibers, against the CPU at odd shapes, in every order of threads with the
// same bits: tables, rings, codebooks.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <tuple>
#include <vector>

#include "core/quant.h"
#include "cpu/choose.h"
#include "cpu/cpu_backend.h"
#include "cpu/packed.h"
#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "cuda/kernels/kernels.h"
#include "files/tensor_file.h"
#include "model/convert.h"
#include "model/kv_cache.h"
#include "tests/gpu_tools.h"

namespace moshi {

namespace {

using gpu::host::Order;
using Floats = std::vector<float>;

// Where every CPU multiplies and adds in one, the compiler does so before a code is rounded: one off next to a tie.
#if defined(__aarch64__)
constexpr bool kContracts = true;
#else
constexpr bool kContracts = false;
#endif

std::mt19937 random_source(13);

Floats normal(int64_t count) {
  return normal_floats(count, random_source);
}

void check_embed(CpuBackend& cpu, DType type, int64_t dim) {
  constexpr int kEntries = 7, kRows = 5, kStride = 3;
  const std::string name = std::string("GPU embedding ") + dtype_name(type) + " of " + std::to_string(dim);
  StoredMatrix stored{.type = DType::F32, .rows = kEntries, .cols = dim, .bytes = {}, .scales = {}, .offsets = {}};
  const Floats values = normal(kEntries * dim);
  stored.bytes.resize(values.size() * 4);
  std::memcpy(stored.bytes.data(), values.data(), stored.bytes.size());
  const Matrix table = cpu.pack_table(converted(std::move(stored), type));
  // Every other entry of ids is another stream's.
  std::vector<int32_t> ids(kRows * kStride, 2), known;
  const int32_t wanted[kRows] = {6, -1, 0, kEntries, -3};
  for (int i = 0; i < kRows; ++i) ids[static_cast<size_t>(i * kStride)] = wanted[i];
  for (const int32_t id : wanted) known.push_back(id >= 0 && id < kEntries ? id : -1);

  const Floats before = normal(kRows * dim);
  const auto kernel = type == DType::F32    ? embed_f32
                      : type == DType::F16  ? embed_f16
                      : type == DType::BF16 ? embed_bf16
                                            : embed_q8;
  const int64_t row_bytes =
      stored_bytes(type, (dim + block_elements(type) - 1) / block_elements(type) * block_elements(type));
  for (const bool add : {false, true}) {
    Floats want = before;
    cpu.embed(table, known.data(), 1, want.data(), kRows, add);
    const Floats got = in_every_order(name, [&](Order order) {
      Floats y = before;
      Embed a{};
      a.ids = ids.data(), a.id_stride = kStride;
      a.y = y.data(), a.dim = dim;
      a.count = 1, a.add = add;
      a.tables[0] = {table.data.get(), row_bytes, kEntries, 0};
      gpu::host::launch(launch_of("embed", {2, kRows}, order), kernel, a);
      return y;
    });
    expect(got == want, name + (add ? " is added as on the CPU" : " is the CPU's"));
  }
  const Floats cleared = in_every_order("GPU clear_absent", [&](Order order) {
    Floats y = before;
    gpu::host::launch(launch_of("clear_absent", {2, kRows}, order), clear_absent, ids.data(), kStride, y.data(), dim);
    return y;
  });
  Floats want = before;
  for (int i = 0; i < kRows; ++i)
    if (wanted[i] < 0) std::fill_n(want.begin() + i * dim, dim, 0.0f);
  expect(cleared == want, name + ": rows of absent ids alone are cleared");
}

// So many tables at once, against the CPU, which adds them one by one.
void check_embed_sum(CpuBackend& cpu, const gpu::host::StandInKernels& kernels, DType type, DType last_type,
                     int tables) {
  constexpr int kEntries = 5, kRows = 3, kDim = 70;
  const std::string name = "GPU sum of " + std::to_string(tables) + " embeddings " + dtype_name(type) +
                           (last_type == type ? "" : std::string(", the last ") + dtype_name(last_type));
  std::vector<StoredMatrix> stored;
  for (int k = 0; k < tables; ++k) {
    const Floats values = normal(kEntries * kDim);
    StoredMatrix one{.type = DType::F32, .rows = kEntries, .cols = kDim, .bytes = {}, .scales = {}, .offsets = {}};
    one.bytes.resize(values.size() * 4);
    std::memcpy(one.bytes.data(), values.data(), one.bytes.size());
    stored.push_back(converted(std::move(one), k + 1 < tables ? type : last_type));
  }
  // The last table's id comes first, as a text token does.
  std::vector<int32_t> ids;
  for (int i = 0; i < kRows * (tables + 1); ++i) ids.push_back(i % 7 == 3 ? -1 : i % kEntries);
  const auto summed = [&](Backend& backend) {
    std::vector<Lookup> lookups;
    for (int k = 0; k < tables; ++k)
      lookups.push_back({backend.pack_table(stored[static_cast<size_t>(k)]), k + 1 < tables ? k + 1 : 0});
    Working memory(backend);
    const int32_t* placed = memory.placed(std::span<const int32_t>(ids));
    float* y = memory.floats(kRows * kDim);
    backend.embed_sum(lookups, placed, tables + 1, y, kRows);
    Floats back(kRows * kDim);
    backend.read(back.data(), y, kRows * kDim);
    return back;
  };
  const Floats want = summed(cpu);
  const Floats got = in_every_order(name, [&](Order order) {
    CudaBackend backend(gpu::host::emulated_driver({.order = order}), {.kernels = kernels.folder()}, 1);
    return summed(backend);
  });
  expect(got == want, name + " is the CPU's");
  expect(gpu::host::emulated_report().launches == (type == last_type ? (tables + kEmbedMost - 1) / kEmbedMost : tables),
         name + " takes as few launches as it can");
}

void check_subtract(CpuBackend& cpu) {
  const Floats x = normal(333), y = normal(333);
  Floats want = x;
  cpu.subtract(want.data(), y.data(), 333);
  const Floats got = in_every_order("GPU subtract", [&](Order order) {
    Floats out = x;
    gpu::host::launch(launch_of("subtract", {2}, order), subtract, out.data(), y.data(), 333);
    return out;
  });
  expect(got == want, "GPU subtract is the CPU's");
}

// The rotations that the CPU makes for itself.
Floats rotations_of(const AttentionShape& shape, const std::vector<Row>& rows) {
  Floats out;
  for (const Row& row : rows)
    for (int i = 0; i < shape.head_dim / 2; ++i) {
      const float frequency =
          std::exp(static_cast<float>(i) * (-std::log(shape.max_period) * 2.0f / static_cast<float>(shape.head_dim)));
      out.push_back(std::cos(frequency * static_cast<float>(row.position)));
      out.push_back(std::sin(frequency * static_cast<float>(row.position)));
    }
  return out;
}

// Two sessions in one call, one of them several pages on and once around.
void check_append(CpuBackend& cpu, KvType type, int head_dim, bool rope, bool interleaved) {
  constexpr int kLayers = 2, kLayer = 1;
  constexpr int64_t kCapacity = 300, kGap = 3;
  const AttentionShape shape{4, 2, head_dim, rope, interleaved, 10000};
  const int64_t width = shape.q_width() + 2 * shape.kv_width();
  KvCache mine[] = {{type, kLayers, kCapacity, 2, head_dim}, {type, kLayers, kCapacity, 2, head_dim}};
  KvCache theirs[] = {{type, kLayers, kCapacity, 2, head_dim}, {type, kLayers, kCapacity, 2, head_dim}};
  const int64_t positions[] = {0, 299, 317};
  const size_t sessions[] = {0, 1, 1};
  std::vector<Row> rows;
  for (int i = 0; i < 3; ++i) {
    rows.push_back({&theirs[sessions[i]], positions[i], 0});
    mine[sessions[i]].reserve(cpu, std::min(positions[i] + 1, kCapacity));
    theirs[sessions[i]].reserve(cpu, std::min(positions[i] + 1, kCapacity));
  }
  Floats qkv = normal(3 * width);
  // Products that are ties when rounded and not before, a head of zeros, one too small to be scaled, and what no half
  // can hold.
  const auto at = [&](int64_t i) -> float& { return qkv[static_cast<size_t>(shape.q_width() + i)]; };
  for (int i = 0; i < head_dim; ++i) {
    at(i) = i == 0 ? 3.7f : (static_cast<float>(i % 32) - 16.5f) * (3.7f / 127.0f);
    at(shape.kv_width() + i) = 0;
    at(shape.kv_width() + head_dim + i) = type == KvType::Q8 ? 1e-39f : 1e30f * (i % 2 ? 1.0f : -1.0f);
  }
  Floats want = qkv;
  const Floats rotations = rotations_of(shape, rows);
  cpu.append(shape, kLayer, want.data(), {.host = rows, .rotations = rope ? rotations.data() : nullptr});

  std::vector<std::vector<const char*>> pages(2);
  std::vector<RowData> device_rows;
  for (size_t s = 0; s < 2; ++s)
    for (int64_t page = 0; page < (s == 0 ? 1 : 2); ++page) pages[s].push_back(mine[s].keys(page, 0, 0));
  for (int i = 0; i < 3; ++i) device_rows.push_back({pages[sessions[i]].data(), 0, static_cast<int32_t>(positions[i])});
  const std::string name = std::string("GPU append to ") + kv_type_name(type) + ", heads of " +
                           std::to_string(head_dim) +
                           (!rope         ? ""
                            : interleaved ? ", neighbours rotated"
                                          : ", halves rotated");
  const auto ring = [&](KvCache* caches) {
    Floats out;
    for (int s = 0; s < 2; ++s)
      for (int layer = 0; layer < kLayers; ++layer)
        for (const bool values : {false, true}) {
          const Floats part = caches[s].read(cpu, layer, values, kCapacity);
          out.insert(out.end(), part.begin(), part.end());
        }
    return out;
  };
  const auto append = type == KvType::F32 ? append_f32 : type == KvType::F16 ? append_f16 : append_q8;
  // Queries, then what the rings hold.
  Floats want_all;
  const auto queries = [&](Floats& all, const Floats& from) {
    for (int i = 0; i < 3; ++i)
      all.insert(all.end(), from.begin() + i * width, from.begin() + i * width + shape.q_width());
  };
  queries(want_all, want);
  const Floats want_ring = ring(theirs);
  want_all.insert(want_all.end(), want_ring.begin(), want_ring.end());
  const Floats got = in_every_order(name, [&](Order order) {
    const int64_t stride = width + kGap;
    Floats x(static_cast<size_t>(3 * stride));
    for (int i = 0; i < 3; ++i) std::copy_n(qkv.begin() + i * width, width, x.begin() + i * stride);
    for (KvCache& cache : mine)
      for (int64_t page = 0; page < (&cache == mine ? 1 : 2); ++page)
        std::memset(cache.keys(page, 0, 0), 0, cache.page_bytes());
    const Append a{.qkv = x.data(),
                   .rows = device_rows.data(),
                   .rotations = rope ? rotations.data() : nullptr,
                   .stride = stride,
                   .layer = kLayer,
                   .layers = kLayers,
                   .heads = shape.heads,
                   .kv_heads = shape.kv_heads,
                   .head_dim = head_dim,
                   .page = static_cast<int32_t>(mine[0].page()),
                   .capacity = kCapacity,
                   .interleaved = interleaved};
    gpu::host::launch(launch_of("append", {2, 3}, order), append, a);
    Floats all, packed;
    for (int i = 0; i < 3; ++i) packed.insert(packed.end(), x.begin() + i * stride, x.begin() + i * stride + width);
    queries(all, packed);
    const Floats held = ring(mine);
    all.insert(all.end(), held.begin(), held.end());
    return all;
  });
  if (!rope && !(kContracts && type == KvType::Q8)) return expect(got == want_all, name + " leaves the CPU's bits");
  // Beyond rounding a code may be the next one, and a half as well.
  expect(worst(got, want_all) < (type == KvType::F32 ? 1e-6 : type == KvType::F16 ? 1e-3 : 0.05), name + " agrees");
}

// Bins by plain arithmetic, as the CPU's kernels that fuse find them.
int32_t nearest_of(const Floats& table, const float* x, int bins, int dim) {
  int32_t best = 0;
  float least = INFINITY;
  for (int bin = 0; bin < bins; ++bin) {
    float sums[2] = {};
    for (int k = 0; k < dim; ++k) {
      const float apart = x[k] - table[static_cast<size_t>(bin) * static_cast<size_t>(dim) + static_cast<size_t>(k)];
      sums[k % 2] = std::fma(apart, apart, sums[k % 2]);
    }
    if (sums[0] + sums[1] < least) {
      least = sums[0] + sums[1];
      best = bin;
    }
  }
  return best;
}

void check_nearest(int bins, int dim, int n, bool takes) {
  const std::string name =
      "GPU nearest of " + std::to_string(bins) + " bins of " + std::to_string(dim) + (takes ? ", taken off" : "");
  Floats left;
  const int64_t row_floats = dim + 3, code_stride = 2;
  Floats table = normal(int64_t{bins} * dim), x = normal(int64_t{n} * dim);
  const auto copy_bin = [&](int from, int to) {
    std::copy_n(table.begin() + int64_t{from} * dim, dim, table.begin() + int64_t{to} * dim);
  };
  // The last row's bin is there three times, and the first of them counts.
  if (bins > 40) {
    copy_bin(bins - 1, 38);
    copy_bin(bins - 1, 37);
    std::copy_n(table.end() - dim, dim, x.end() - dim);
    // Nothing is near where nothing is a number, and a broken bin does not hide its neighbours.
    x[0] = NAN;
    table[0] = NAN;
    std::copy_n(table.begin() + int64_t{21} * dim, dim, x.begin() + int64_t{2} * dim);
    x[static_cast<size_t>(dim)] = INFINITY;
  }
  Floats apart(static_cast<size_t>(bins * row_floats), NAN);
  for (int bin = 0; bin < bins; ++bin)
    std::copy_n(table.begin() + int64_t{bin} * dim, dim, apart.begin() + bin * row_floats);
  const std::vector<int32_t> got = in_every_order(name, [&](Order order) {
    std::vector<Candidate> parts(static_cast<size_t>(n * nearest_parts_of(bins)));
    std::vector<int32_t> codes(static_cast<size_t>(n * code_stride), -7);
    left = x;
    const Nearest a{.table = apart.data(),
                    .x = x.data(),
                    .parts = parts.data(),
                    .codes = codes.data(),
                    .rest = takes ? left.data() : nullptr,
                    .row_floats = row_floats,
                    .code_stride = code_stride,
                    .bins = bins,
                    .dim = dim,
                    .n = n};
    gpu::host::launch(launch_of("nearest_parts", {nearest_parts_of(bins), nearest_groups(n)}, order, 32 * kNearestRows),
                      nearest_parts, a);
    gpu::host::launch(launch_of("nearest_choose", {n}, order, 32), nearest_choose, a);
    return codes;
  });
  bool right = true, apart_kept = true;
  for (int i = 0; i < n; ++i) {
    right &= got[static_cast<size_t>(2 * i)] == nearest_of(table, x.data() + int64_t{i} * dim, bins, dim);
    apart_kept &= got[static_cast<size_t>(2 * i + 1)] == -7;
  }
  expect(right && apart_kept, name + " agrees with plain arithmetic");
  bool taken = true;
  for (int i = 0; i < n * dim; ++i) {
    const auto at = static_cast<size_t>(i), bin = static_cast<size_t>(got[static_cast<size_t>(2 * (i / dim))]);
    const float want = x[at] - (takes ? table[bin * static_cast<size_t>(dim) + static_cast<size_t>(i % dim)] : 0.0f);
    taken &= left[at] == want || (std::isnan(left[at]) && std::isnan(want));
  }
  expect(taken, name + " leaves of x what it should");
  if (bins > 40) expect(got[static_cast<size_t>(2 * n - 2)] == 37, name + ": the first among equals");
  StoredMatrix stored{.type = DType::F32, .rows = bins, .cols = dim, .bytes = {}, .scales = {}, .offsets = {}};
  stored.bytes.resize(table.size() * 4);
  std::memcpy(stored.bytes.data(), table.data(), stored.bytes.size());
  for (const Kernels* kernels : available_kernels()) {
    CpuBackend cpu(1, kernels->isa);
    std::vector<int32_t> want(static_cast<size_t>(n));
    cpu.nearest(cpu.pack(stored), x.data(), want.data(), 1, n);
    bool same = true;
    for (int i = 0; i < n; ++i) same &= got[static_cast<size_t>(2 * i)] == want[static_cast<size_t>(i)];
    expect(same, name + " are the CPU's, " + kernels->isa);
  }
}

}  // namespace

void check_gpu_steps() {
  CpuBackend cpu(1, "baseline");
  for (const DType type : {DType::F32, DType::F16, DType::BF16, DType::Q8_0})
    for (const int64_t dim : {1, 32, 77, 257}) check_embed(cpu, type, dim);
  const gpu::host::StandInKernels kernels;
  for (const int tables : {1, 17, kEmbedMost, kEmbedMost + 3})
    check_embed_sum(cpu, kernels, DType::BF16, DType::BF16, tables);
  for (const DType type : {DType::F32, DType::F16, DType::Q8_0}) check_embed_sum(cpu, kernels, type, type, 9);
  check_embed_sum(cpu, kernels, DType::BF16, DType::Q8_0, 3);
  check_subtract(cpu);
  for (const KvType type : {KvType::F32, KvType::F16, KvType::Q8})
    for (const int head_dim : {8, 20, 64, 136}) {
      check_append(cpu, type, head_dim, false, false);
      for (const bool interleaved : {false, true}) check_append(cpu, type, head_dim, true, interleaved);
    }
  for (const auto& [bins, dim, n] : {std::tuple{1, 1, 1}, {31, 7, 3}, {97, 65, 6}, {333, 256, 5}, {64, 130, 4}})
    for (const bool takes : {false, true}) check_nearest(bins, dim, n, takes);
}

}  // namespace moshi
