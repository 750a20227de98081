#include "cuda/cuda_backend.h"

#include <algorithm>

#include "core/cpu_topology.h"
#include "cuda/kernels/gemm.h"
#include "model/convert.h"

namespace moshi {

namespace {

// Weights go over in pieces, so that the host never holds a packed copy of a whole matrix.
constexpr int64_t kPiece = int64_t{16} << 20;

}  // namespace

CudaBackend::CudaBackend(std::shared_ptr<const DriverApi> driver, const CardOptions& options, int threads)
    : device_(std::make_shared<Device>(std::move(driver), options)),
      pool_(threads > 0 ? threads : suitable_threads()),
      arrived_(allocate(kGemmSharing)) {}

CudaBackend::~CudaBackend() = default;

std::string CudaBackend::name() const {
  return "cuda-sm_" + std::to_string(device_->card.arch());
}

void CudaBackend::give_back() {
  card_now()->give_back();
}

uint64_t CudaBackend::free_memory() {
  return card_now()->available();
}

CudaBackend::Locked CudaBackend::card_now() {
  Locked card(*device_);
  if (device_->stages) device_->stages->launch();
  return card;
}

std::shared_ptr<char> CudaBackend::weights(size_t bytes) {
  auto* data = static_cast<char*>(card_now()->allocate(bytes));
  return {data, [device = device_](char* p) { Locked(*device)->free(p); }};
}

Buffer CudaBackend::allocate(size_t floats) {
  auto* data = static_cast<float*>(card_now()->allocate(std::max<size_t>(floats, 1) * sizeof(float)));
  return Buffer(data, floats, [device = device_](float* p) { Locked(*device)->free(p); });
}

void CudaBackend::copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0) card_now()->copy(to, from, bytes);
}

void CudaBackend::write_bytes(void* to, const void* host, size_t bytes) {
  if (bytes > 0) card_now()->write(to, host, bytes);
}

void CudaBackend::read_bytes(void* host, const void* from, size_t bytes) {
  if (bytes == 0) return;
  const std::lock_guard alone(device_->reading);
  std::unique_lock lock(device_->mutex);
  // Sessions that come and go on other threads need not wait for a frame.
  device_->card.read(host, from, bytes, [&](FunctionRef<void()> wait) {
    lock.unlock();
    wait();
    lock.lock();
  });
}

void CudaBackend::copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows) {
  if (width > 0 && rows > 0) card_now()->copy_rows(to, to_pitch, from, from_pitch, width, rows);
}

Matrix CudaBackend::pack(const StoredMatrix& stored) {
  const gpu::PackedLayout layout = gpu::packed_layout(stored);
  Matrix out{.data = {},
             .type = stored.type,
             .rows = stored.rows,
             .cols = stored.cols,
             .bytes = static_cast<size_t>(layout.bytes),
             .table = false,
             .group = stored.group,
             .bits = stored.bits};
  const std::shared_ptr<char> data = weights(out.bytes);
  const int64_t chunk_bytes = 16 * layout.chunks, row_bytes = chunk_bytes + layout.scale_bytes;
  const int64_t at_once = std::max<int64_t>(1, kPiece / std::max<int64_t>(1, row_bytes));
  std::vector<char> chunks, scales;
  for (int64_t begin = 0; begin < layout.rows; begin += at_once) {
    const int64_t count = std::min(at_once, layout.rows - begin);
    chunks.assign(static_cast<size_t>(count * chunk_bytes), 0);
    scales.assign(static_cast<size_t>(count * layout.scale_bytes), 0);
    const int64_t parts = std::min<int64_t>(count, 4 * pool_.threads());
    each(parts, [&](int64_t part) {
      const int64_t first = count * part / parts, last = count * (part + 1) / parts;
      gpu::pack_rows(stored, layout, begin + first, begin + last, chunks.data() + first * chunk_bytes,
                     scales.data() + first * layout.scale_bytes);
    });
    write_bytes(data.get() + begin * chunk_bytes, chunks.data(), chunks.size());
    write_bytes(data.get() + layout.scales + begin * layout.scale_bytes, scales.data(), scales.size());
  }
  out.data = data;
  return out;
}

Matrix CudaBackend::pack_table(StoredMatrix stored) {
  const std::shared_ptr<char> data = weights(stored.bytes.size());
  write_bytes(data.get(), stored.bytes.data(), stored.bytes.size());
  return {.data = data,
          .type = stored.type,
          .rows = stored.rows,
          .cols = stored.cols,
          .bytes = stored.bytes.size(),
          .table = true};
}

void CudaBackend::share(int64_t count, const std::function<void(int64_t begin, int64_t end)>& task) {
  if (count > 0) task(0, count);
}

void CudaBackend::each(int64_t count, const std::function<void(int64_t)>& task) {
  if (count > 0) pool_.run(static_cast<int>(count), [&](int part) { task(part); });
}

}  // namespace moshi
