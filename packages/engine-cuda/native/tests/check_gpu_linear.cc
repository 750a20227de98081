// Linear layers of the GPU on fibers: every form of weights against plain arithmetic at odd shapes; that neither
// company nor the order of threads changes a bit.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "core/error.h"
#include "cpu/choose.h"
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "tests/checks.h"
#include "tests/gpu_linear_tools.h"

namespace moshi {

namespace {

// Against the CPU's kernels: those that fuse where ours do give the same bits.
void check_codes() {
  for (const int cols : {1, 32, 70, 257, 1056}) {
    constexpr int kRows = 3;
    const int64_t stride = cols + 5;
    Floats x = normal(kRows * stride);
    // Ties, a block of zeros, and one too small to be scaled.
    for (size_t i = 0; i < 32 && i < x.size(); ++i) x[i] = i == 0 ? 127.0f : static_cast<float>(i) - 16.5f;
    for (int64_t i = 0; i < 32 && 64 + i < cols; ++i) x[static_cast<size_t>(stride + 32 + i)] = 0;
    for (int64_t i = 0; i < 32 && 64 + i < cols; ++i) x[static_cast<size_t>(2 * stride + 32 + i)] = 1e-39f;
    const std::string name = "GPU codes of " + std::to_string(cols) + " columns";
    Codes codes(x.data(), stride, kRows, cols);
    bool rounded = true, scaled = true, same = true;
    for (int i = 0; i < kRows; ++i)
      for (int b = 0; b < codes.blocks; ++b) {
        const auto at = [&](int j) { return 32 * b + j < cols ? x[static_cast<size_t>(i * stride + 32 * b + j)] : 0; };
        float most = 0;
        for (int j = 0; j < 32; ++j) most = std::fmax(most, std::fabs(at(j)));
        const float inverse = most > 3.8e-37f ? 127.0f / most : 0;
        int sum = 0;
        for (int j = 0; j < 32; ++j) {
          const int code = codes.data()[static_cast<int64_t>(i * codes.blocks + b) * 32 + j];
          rounded &= code == static_cast<int>(std::nearbyint(static_cast<double>(at(j)) * inverse));
          sum += code;
        }
        const InputScale& scale = codes.scales[static_cast<size_t>(i * codes.blocks + b)];
        scaled &= scale.scale == most / 127.0f && scale.sum == scale.scale * static_cast<float>(sum);
      }
    expect(rounded, name + " are rounded to even");
    expect(scaled, name + " have their scales and sums");
    for (const Order order : kOthers) {
      Codes again(x.data(), stride, kRows, cols, order);
      same &= std::memcmp(again.data(), codes.data(), codes.words.size() * 16) == 0 &&
              std::memcmp(again.scales.data(), codes.scales.data(), codes.scales.size() * sizeof(InputScale)) == 0;
    }
    expect(same, name + ": the order of threads changes no bit");
    for (const Kernels* cpu : available_kernels()) {
      if (cpu->code_bytes != 1) continue;
      const auto blocks = static_cast<size_t>(codes.blocks);
      std::vector<char> theirs(32 * blocks);
      Floats scales(blocks), sums(blocks);
      std::vector<int32_t> starts(blocks);
      cpu->quantize(x.data(), cols, codes.blocks, 1, 0, theirs.data(), scales.data(), starts.data(), sums.data());
      bool agree = std::memcmp(theirs.data(), codes.data(), theirs.size()) == 0;
      for (size_t b = 0; b < blocks; ++b) agree &= scales[b] == codes.scales[b].scale && sums[b] == codes.scales[b].sum;
      expect(agree, name + " are the CPU's, " + cpu->isa);
    }
  }
}

// y [n, rows] (+)= w x of rows x_stride apart.
void run(const Layer& layer, const float* x, int64_t x_stride, int n, Floats& y, bool add, Order order = kForward,
         int split = 0, const Ended* end = nullptr) {
  Codes codes(x, x_stride, n, static_cast<int>(layer.layout.cols));
  Linear a = layer.linear(x, x_stride, codes, y.data(), layer.layout.rows, add);
  if (split > 0) a.split = split;
  if (end) end->set(a);
  gpu::host::launch(
      {.kernel = "linear", .grid = {linear_blocks(a.rows, a.split, n)}, .threads = 32 * kLinearWarps, .order = order},
      linear_kernel(layer.layout.form, n), a);
}

void check_linear(const StoredMatrix& s) {
  const std::string name = name_of(s);
  Layer layer(s);
  // An odd stride, so that floats are not aligned in every row.
  const int64_t stride = s.cols + 1, rows = s.rows;
  const Floats x = normal(kLinearMost * stride);
  Floats all(static_cast<size_t>(kLinearMost * rows));
  run(layer, x.data(), stride, kLinearMost, all, false);
  expect(error_of(s, x, stride, kLinearMost, all, rows) < 2e-5, name + " agrees with plain arithmetic");

  bool company = true;
  for (int n = 1; n < kLinearMost; ++n) {
    Floats y(static_cast<size_t>(n * rows));
    // Other rows than the first, each once alone.
    const int first = kLinearMost - n;
    run(layer, x.data() + first * stride, stride, n, y, false);
    company &= std::equal(y.begin(), y.end(), all.begin() + first * rows);
    if (n > 1) continue;
    for (int i = 0; i < first; ++i) {
      run(layer, x.data() + i * stride, stride, 1, y, false);
      company &= std::equal(y.begin(), y.end(), all.begin() + i * rows);
    }
  }
  expect(company, name + ": company changes no bit");

  bool ordered = true;
  for (const Order order : kOthers) {
    Floats y(all.size());
    run(layer, x.data(), stride, kLinearMost, y, false, order);
    ordered &= y == all;
  }
  expect(ordered, name + ": the order of threads changes no bit");

  const Floats before = normal(static_cast<int64_t>(all.size()));
  Floats sums = before;
  run(layer, x.data(), stride, kLinearMost, sums, true);
  double most = 0, off = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    most = std::fmax(most, std::fabs(all[i]));
    off = std::fmax(off, std::fabs(static_cast<double>(before[i]) + all[i] - sums[i]));
  }
  expect(off < 1e-6 * std::fmax(1, most), name + " adds when told to");

  if (has_codes(layer.layout.form)) return;
  for (const End& end : kEnds) {
    const Ended ended(end, rows);
    Floats y = before;
    run(layer, x.data(), stride, kLinearMost, y, end.adds, kForward, 0, &ended);
    expect(ended.error(all, before, y, kLinearMost, rows, rows) < 1e-6, name + ended.name() + " ends as told to");
  }
}

// The backend's layers with their ends, against the CPU's one after the other, for few rows and for many.
void check_layers(CpuBackend& cpu, const gpu::host::StandInKernels& kernels) {
  constexpr int64_t kOut = 40, kIn = 320;
  CudaBackend gpu(gpu::host::emulated_driver(), {.kernels = kernels.folder()}, 1);
  for (const DType type : {DType::F32, DType::F16, DType::BF16, DType::Q8_0})
    for (const int n : {3, 20}) {
      const StoredMatrix s = random_matrix(type, kOut, kIn);
      const Floats x = normal(n * kIn), before = normal(n * kOut), bias = normal(kOut), scale = normal(kOut);
      const auto run = [&](Backend& backend, const End& what) {
        const Matrix w = backend.pack(s);
        Working memory(backend);
        const LinearEnd end{.bias = what.bias ? memory.placed(std::span(bias)) : nullptr,
                            .adds = what.adds,
                            .scale = what.gain ? memory.placed(std::span(scale)) : nullptr,
                            .after = what.after,
                            .alpha = kAlpha};
        float* y = memory.placed(std::span(before));
        backend.linear_with(w, memory.placed(std::span(x)), kIn, y, n, end);
        Floats out(before.size());
        backend.read(out.data(), y, n * kOut);
        return out;
      };
      for (const End& what : kEnds) {
        const std::string name = name_of(s) + Ended(what, 1).name() + ", " + std::to_string(n) + " rows";
        const int launches = gpu::host::emulated_report().launches;
        const Floats got = run(gpu, what);
        const int taken = gpu::host::emulated_report().launches - launches;
        const Floats want = run(cpu, what);
        double off = 0;
        for (size_t i = 0; i < want.size(); ++i) off = std::fmax(off, std::fabs(got[i] - want[i]));
        expect(off < (type == DType::Q8_0 ? 2e-3 : 5e-4), name + " agrees with the CPU but for " + std::to_string(off));
        if (type == DType::F32 || type == DType::F16) expect(taken == 1, name + " takes one launch");
      }
    }
}

// What a matrix takes without any padding.
int64_t least_bytes(const StoredMatrix& s) {
  if (s.type == DType::U8) return s.rows * s.cols * s.bits / 8 + static_cast<int64_t>(s.scales.size()) * 8;
  return static_cast<int64_t>(s.bytes.size() + s.scales.size() * 4);
}

void check_bytes() {
  for (const Kind& kind : kKinds)
    for (const int64_t cols : {256, 1024, 2816}) {
      const StoredMatrix s = random_matrix(kind.type, 3, cols, kind.bits, kind.group > 0 ? kind.group : 128);
      const auto bytes = static_cast<int64_t>(gpu::pack(s).size()), least = least_bytes(s);
      expect(bytes >= least && bytes * 100 <= least * 101, name_of(s) + " takes " + std::to_string(bytes) +
                                                               " bytes, no more than a hundredth beyond " +
                                                               std::to_string(least));
    }
}

void expect_refused(const std::string& name, const std::string& part, StoredMatrix s,
                    const std::function<void(StoredMatrix&)>& spoil) {
  spoil(s);
  std::string message;
  try {
    gpu::pack(s);
  } catch (const Error& error) {
    message = error.what();
  }
  expect(message.find(part) != std::string::npos, "GPU: " + name + " is refused: '" + message + "'");
}

void check_refusals() {
  const StoredMatrix q8 = random_matrix(DType::Q8_0, 2, 64), i8 = random_matrix(DType::I8, 2, 40),
                     u4 = random_matrix(DType::U8, 2, 64, 4, 32);
  expect_refused("a matrix cut short", "bytes", q8, [](StoredMatrix& s) { s.bytes.pop_back(); });
  expect_refused("a matrix without rows", "is not one", q8, [](StoredMatrix& s) { s.rows = 0; });
  expect_refused("a scale too few", "1 scales", i8, [](StoredMatrix& s) { s.scales.pop_back(); });
  expect_refused("offsets that are not there", "0 offsets", u4, [](StoredMatrix& s) { s.offsets.clear(); });
  expect_refused("groups of 16 columns", "groups of 16", u4, [](StoredMatrix& s) { s.group = 16; });
  expect_refused("codes of 3 bits", "does not multiply", u4, [](StoredMatrix& s) { s.bits = 3; });
  expect_refused("a code too large", "more than 4 bits", u4, [](StoredMatrix& s) { s.bytes[70] = 16; });
}

// However many warps share a row, each covers its part.
void check_splits() {
  for (const DType type : {DType::F16, DType::Q8_0, DType::Q4_K}) {
    const StoredMatrix s = random_matrix(type, 5, 4100);
    const Floats x = normal(2 * s.cols);
    Layer layer(s);
    for (const int split : {1, 2, 4}) {
      Floats y(static_cast<size_t>(2 * s.rows));
      run(layer, x.data(), s.cols, 2, y, false, kForward, split);
      expect(error_of(s, x, s.cols, 2, y, s.rows) < 2e-5,
             name_of(s) + " agrees with plain arithmetic, " + std::to_string(split) + " warps to a row");
    }
  }
  expect(linear_split(12288, 256) == 1 && linear_split(1024, 64) == 2 && linear_split(1024, 1024) == 4 &&
             linear_split(1, 63) == 1,
         "rows are shared where there are few of them");
}

// Norms and gates that leave codes behind, against those that leave floats and these then made codes.
void check_fused(int dim) {
  constexpr int kRows = 3;
  const Floats x = normal(kRows * 2 * dim), weight = normal(dim);
  const std::string of = " of " + std::to_string(dim);
  Floats values(static_cast<size_t>(kRows * dim));
  const auto same = [&](const std::string& name, auto launch) {
    Codes want(values.data(), dim, kRows, dim);
    bool right = true;
    for (const Order order : {kForward, kOthers[0], kOthers[1], kOthers[2]}) {
      Codes got(values.data(), dim, kRows, dim);
      std::fill(got.words.begin(), got.words.end(), gpu::Int4{{-1, -1, -1, -1}});
      std::fill(got.scales.begin(), got.scales.end(), InputScale{-1, -1});
      launch(order, got);
      right &= std::memcmp(got.words.data(), want.words.data(), got.words.size() * sizeof(gpu::Int4)) == 0 &&
               std::memcmp(got.scales.data(), want.scales.data(), got.scales.size() * sizeof(InputScale)) == 0;
    }
    expect(right, name + of + " leaves the codes of what it would leave as floats, in every order");
  };
  const gpu::host::Launch norms{.kernel = "norm", .grid = {kRows}, .threads = 96};
  gpu::host::launch(norms, rms_norm, x.data(), weight.data(), 1e-5f, values.data(), dim);
  same("GPU RMS norm", [&](Order order, Codes& got) {
    auto how = norms;
    how.order = order;
    gpu::host::launch(how, rms_norm_codes, x.data(), weight.data(), 1e-5f, dim, got.data(), got.scales.data());
  });
  const gpu::host::Launch gates{.kernel = "gate", .grid = {2, kRows}, .threads = 64};
  gpu::host::launch(gates, gate, Activation::Silu, x.data(), values.data(), int64_t{dim});
  same("GPU gate", [&](Order order, Codes& got) {
    auto how = gates;
    how.order = order;
    gpu::host::launch(how, gate_codes, Activation::Silu, x.data(), int64_t{dim}, got.data(), got.scales.data());
  });
}

}  // namespace

void check_gpu_linear() {
  check_codes();
  for (const int dim : {5, 96, 257, 1056}) check_fused(dim);
  check_bytes();
  check_refusals();
  check_splits();
  CpuBackend cpu(1, "baseline");
  check_layers(cpu, gpu::host::StandInKernels());
  for (const Kind& kind : kKinds) {
    const int64_t rows[] = {1, 7, 33, 129};
    for (size_t i = 0; i < 4; ++i) {
      // Every number of rows meets every number of columns, the many rows only the few columns.
      for (const int64_t cols : {32, 96, 256, 1056, 5, 100, 257}) {
        if (kind.type == DType::U8 && cols % 32 != 0) continue;
        if (rows[i] > 33 && cols > 300) continue;
        check_linear(random_matrix(kind.type, rows[i], cols, kind.bits, kind.group > 0 ? kind.group : cols));
      }
    }
  }
}

}  // namespace moshi
