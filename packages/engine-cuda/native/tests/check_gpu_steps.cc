// The GPU's kernels around linear layers on fibers, against the CPU at odd shapes, in every order of threads with the
// same bits: tables.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "core/quant.h"
#include "cpu/cpu_backend.h"
#include "cpu/packed.h"
#include "cuda/host/sanitizers.h"
#include "cuda/kernels/kernels.h"
#include "files/tensor_file.h"
#include "model/convert.h"
#include "tests/gpu_tools.h"

namespace moshi {

namespace {

using gpu::host::Order;
using Floats = std::vector<float>;

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
      gpu::host::launch(launch_of("embed", {2, kRows}, order), kernel, table.data.get(), row_bytes, kEntries,
                        ids.data(), kStride, y.data(), dim, add);
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

}  // namespace

void check_gpu_steps() {
  if (gpu::host::kThreadSanitizer) {
    std::printf("skip  GPU kernels around linear layers: see the other GPU kernels\n");
    return;
  }
  CpuBackend cpu(1, "baseline");
  for (const DType type : {DType::F32, DType::F16, DType::BF16, DType::Q8_0})
    for (const int64_t dim : {1, 32, 77, 257}) check_embed(cpu, type, dim);
  check_subtract(cpu);
}

}  // namespace moshi
