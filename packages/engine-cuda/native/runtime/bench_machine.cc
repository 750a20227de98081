// The bench's yardsticks: what the machine's memory and cores can do, and its linear layers.
#include <algorithm>

#include "core/error.h"
#include "core/memory.h"
#include "files/synthetic.h"
#include "runtime/bench.h"
#include "runtime/plain_copier.h"
#include "runtime/plain_reader.h"
#include "runtime/repeat.h"

namespace moshi {

namespace {

constexpr size_t kLeast = 5;  // repeats

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

Bench::Bench(std::unique_ptr<Backend> backend, std::string isa)
    : isa_(std::move(isa)),
      backend_(std::move(backend)),
      cpu_(dynamic_cast<CpuBackend*>(backend_.get())),
      gpu_(dynamic_cast<CudaBackend*>(backend_.get())),
      timed_(std::make_unique<TimedBackend>(*backend_)),
      kernels_(choose_kernels(isa_.empty() ? nullptr : isa_.c_str())) {}

Bench::Bench(int threads, const std::string& isa)
    : Bench(std::make_unique<CpuBackend>(threads, isa.empty() ? nullptr : isa.c_str()), isa) {}

std::unique_ptr<Yardstick> Bench::yardstick(uint64_t bytes, bool one_thread) const {
  if (cpu_) return std::make_unique<PlainReader>(*cpu_, kernels_, bytes, one_thread);
  return std::make_unique<PlainCopier>(*gpu_, std::min(bytes, free_memory() / 4));
}

uint64_t Bench::free_memory() const {
  return gpu_ ? gpu_->free_memory() : available_memory();
}

double peak(const Kernels& kernels) {
  float value = 0.5f;
  int64_t count = 0;
  const double ms = milliseconds([&] { count = kernels.multiply_adds(200'000, &value); });
  return 2 * static_cast<double>(count) * 1000 / ms;
}

Repeats Bench::read(int threads, uint64_t bytes, double spend) const {
  const std::unique_ptr<Yardstick> plain = yardstick(bytes, threads == 1);
  std::vector<double> speeds;
  for (double spent = 0; speeds.size() < kLeast || spent < spend;)
    spent += milliseconds([&] { speeds.push_back(plain->pass()); });
  return {*std::max_element(speeds.begin(), speeds.end()), middle(speeds)};
}

double Bench::flops(double spend) const {
  if (gpu_) return 0;
  double best = 0, spent = 0;
  for (size_t i = 0; i < kLeast || spent < spend; ++i)
    spent += milliseconds([&] { best = std::max(best, peak(kernels_)); });
  return best;
}

LayerTimes Bench::layers(DType type, uint64_t bytes, double spend) const {
  std::vector<MadeTensor> tensors;
  for (const Shape& shape : kTemporal)
    tensors.push_back({std::to_string(tensors.size()), type, {shape.rows, shape.cols}, 0, 0.02f});
  const Synthetic file("layers", tensors);
  LayerTimes out;
  std::vector<Matrix> matrices;
  for (const uint64_t enough = std::min(bytes, free_memory() / 4); out.bytes < enough;)
    for (const MadeTensor& tensor : tensors) {
      matrices.push_back(backend_->pack(stored(file, tensor.name)));
      out.bytes += matrices.back().bytes;
    }
  constexpr int64_t kMostRows = 8, kWidest = 22528;
  std::vector<float> values(kMostRows * kWidest);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7919 % 1024) / 512 - 1;
  const Buffer x = backend_->upload(values), y = backend_->allocate(values.size());
  const auto pass = [&](int64_t rows) {
    for (const Matrix& w : matrices) backend_->linear(w, x.data(), w.cols, y.data(), w.rows, rows, false);
    if (gpu_) settle(*gpu_, y);
  };
  const std::unique_ptr<Yardstick> plain = yardstick(std::min(bytes, kBesideBytes));
  std::vector<double> ratios;
  const auto timed = [&](int64_t rows) {
    pass(rows);
    std::vector<double> times;
    for (double spent = 0; times.size() < kLeast || spent < spend;) {
      Beside beside(*plain);
      times.push_back(milliseconds([&] { pass(rows); }));
      spent += times.back();
      if (rows == 1) ratios.push_back(static_cast<double>(out.bytes) * 1000 / times.back() / beside.moving());
    }
    return quickest(times);
  };
  out.one = timed(1);
  out.eight = timed(kMostRows);
  out.of_read = middle(ratios);
  return out;
}

}  // namespace moshi
