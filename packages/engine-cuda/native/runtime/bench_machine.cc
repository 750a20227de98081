// The bench's yardsticks: what the machine's memory and cores can do, and its linear layers.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/error.h"
#include "core/memory.h"
#include "files/synthetic.h"
#include "runtime/bench.h"
#include "runtime/repeat.h"

namespace moshi {

namespace {

constexpr int kLeast = 5;  // repeats
constexpr int kPartsPerThread = 8;

// As much as is wanted, or the part of the memory that may be taken for it without harm.
uint64_t affordable(uint64_t wanted) {
  return std::max(uint64_t{1} << 20, std::min(wanted, available_memory() / 4));
}

struct Shape {
  int64_t rows, cols;
};
// Projections in and out of attention, feed-forward layer in and out.
constexpr Shape kTemporal[] = {{12288, 4096}, {4096, 4096}, {22528, 4096}, {4096, 11264}};

StoredMatrix stored(const Synthetic& file, const std::string& name) {
  const TensorInfo& info = file.info(name);
  StoredMatrix out;
  out.type = info.type;
  out.rows = info.shape[0];
  out.cols = info.shape[1];
  out.bytes.resize(info.bytes);
  file.TensorFile::read(info, out.bytes.data());
  return out;
}

}  // namespace

Bench::Bench(int threads, std::string isa)
    : isa_(std::move(isa)),
      backend_(std::make_unique<CpuBackend>(threads, isa_.empty() ? nullptr : isa_.c_str())),
      timed_(std::make_unique<TimedBackend>(*backend_)) {}

Repeats Bench::read(int threads, uint64_t wanted, double spend) const {
  const Kernels& kernels = choose_kernels(isa_.empty() ? nullptr : isa_.c_str());
  const int64_t parts = threads * kPartsPerThread;
  constexpr size_t kHuge = size_t{2} << 20;
  const int64_t part = std::max<int64_t>(4096, static_cast<int64_t>(affordable(wanted)) / parts / 4096 * 4096);
  const auto bytes = static_cast<size_t>(part * parts), size = (bytes + kHuge - 1) / kHuge * kHuge;
  const std::unique_ptr<char, decltype(&std::free)> memory(static_cast<char*>(std::aligned_alloc(kHuge, size)),
                                                           &std::free);
  if (!memory)
    throw Error(kBadOption, "out of memory: " + std::to_string(size >> 20) + " MB to read were not to be had");
#if defined(__linux__)
  ::madvise(memory.get(), size, MADV_HUGEPAGE);
#endif
  const auto run = [&](const auto& task) {
    if (threads == 1)
      for (int64_t i = 0; i < parts; ++i) task(i);
    else
      backend_->each(parts, task);
  };
  run([&](int64_t i) { std::memset(memory.get() + i * part, static_cast<int>(i + 1), static_cast<size_t>(part)); });
  std::vector<int32_t> sums(static_cast<size_t>(parts));
  const auto read = [&](int64_t i) { sums[static_cast<size_t>(i)] = kernels.read_sum(memory.get() + i * part, part); };
  run(read);
  const Repeats times = quickest(repeated(kLeast, spend, [&] { run(read); }));
  const double total = static_cast<double>(bytes) * 1000;
  return {total / times.best, total / times.median};
}

double Bench::flops(double spend) const {
  const Kernels& kernels = choose_kernels(isa_.empty() ? nullptr : isa_.c_str());
  int64_t count = 0;
  const Repeats times = quickest(repeated(kLeast, spend, [&] {
    float value = 0.5f;
    count = kernels.multiply_adds(500'000, &value);
  }));
  return 2 * static_cast<double>(count) * 1000 / times.best;
}

LayerTimes Bench::layers(DType type, uint64_t bytes, double spend) const {
  std::vector<MadeTensor> tensors;
  for (const Shape& shape : kTemporal)
    tensors.push_back({std::to_string(tensors.size()), type, {shape.rows, shape.cols}, 0, 0.02f});
  const Synthetic file("layers", tensors);
  LayerTimes out;
  std::vector<Matrix> matrices;
  for (const uint64_t enough = affordable(bytes); out.bytes < enough;)
    for (const MadeTensor& tensor : tensors) {
      matrices.push_back(backend_->pack(stored(file, tensor.name)));
      out.bytes += matrices.back().bytes;
    }
  constexpr int64_t kMostRows = 8, kWidest = 22528;
  std::vector<float> x(kMostRows * kWidest), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 1024) / 512 - 1;
  const auto pass = [&](int64_t rows) {
    for (const Matrix& w : matrices) backend_->linear(w, x.data(), w.cols, y.data(), w.rows, rows, false);
  };
  const auto timed = [&](int64_t rows) {
    pass(rows);
    return quickest(repeated(kLeast, spend, [&] { pass(rows); }));
  };
  out.one = timed(1);
  out.eight = timed(kMostRows);
  return out;
}

}  // namespace moshi
