#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "core/aligned_memory.h"
#include "core/error.h"
#include "core/quant.h"
#include "cpu/packed.h"
#include "model/kv_cache.h"
#include "model/sampler.h"

namespace moshi {

namespace {

// Below this many multiply-adds waking a thread costs more than it saves.
constexpr int64_t kWorthSplitting = 60'000;
// Parts a thread gets on average: enough that a slower core can leave some to the others, but none so small that
// reading has hardly begun when it ends.
constexpr int64_t kPartsPerThread = 4;
constexpr int64_t kPartWork = 1 << 18;
constexpr size_t kBlock = size_t{32} << 20;

template <typename T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace

Buffer CpuBackend::allocate(size_t floats) {
  // calloc leaves large blocks to the kernel's zero pages, which cost nothing until they are written.
  // Aligned by hand, so that no vector lies across two cache lines.
  constexpr size_t kLine = 64;
  void* memory = std::calloc(floats * sizeof(float) + kLine, 1);
  if (!memory) out_of_memory(floats * sizeof(float));
  auto* data = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory) + kLine - 1) / kLine * kLine);
  return Buffer(data, floats, [memory](float*) { std::free(memory); });
}

void CpuBackend::copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void CpuBackend::copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows) {
  for (size_t i = 0; i < rows; ++i)
    copy_bytes(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, width);
}

template <typename Task>
void CpuBackend::split(int64_t count, int64_t grain, int64_t work, Task task) {
  const int64_t grains = (count + grain - 1) / grain, threads = pool_.threads();
  const int64_t wanted = std::min(work / kPartWork, threads * kPartsPerThread);
  if (threads == 1 || work < kWorthSplitting || grains < 2) return task(0, count);
  // A number of parts that the threads share evenly.
  const int64_t parts = std::min(grains, std::max(threads, wanted / threads * threads));
  pool_.run(static_cast<int>(parts), [&](int part) {
    const int64_t begin = grains * part / parts * grain, end = grains * (part + 1) / parts * grain;
    task(begin, std::min(count, end));
  });
}

void CpuBackend::each(int64_t count, const std::function<void(int64_t)>& task) {
  if (count < 2) return count > 0 ? task(0) : void();
  pool_.run(static_cast<int>(count), [&](int part) { task(part); });
}

void CpuBackend::share(int64_t count, const std::function<void(int64_t begin, int64_t end)>& task) {
  if (2 * count < threads()) {
    for (int64_t i = 0; i < count; ++i) task(i, i + 1);
    return;
  }
  // All are done when the first failure is thrown.
  std::vector<std::exception_ptr> failures(static_cast<size_t>(count));
  each(count, [&](int64_t i) {
    try {
      task(i, i + 1);
    } catch (...) {
      failures[static_cast<size_t>(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

std::shared_ptr<char> CpuBackend::weights(size_t bytes) {
  if (bytes > kBlock / 2) return aligned_memory(bytes);
  const size_t size = (bytes + 63) / 64 * 64;
  if (!block_ || block_->used + size > kBlock) {
    block_ = std::make_shared<Block>();
    block_->memory = aligned_memory(kBlock);
  }
  const size_t begin = block_->used.fetch_add(size);
  // What was taken last can be given back; the rest is freed with the block.
  return {block_->memory.get() + begin, [block = block_, begin, size](char*) {
            size_t end = begin + size;
            block->used.compare_exchange_strong(end, begin);
          }};
}

Matrix CpuBackend::pack(const StoredMatrix& stored) {
  Matrix out{.data = {},
             .type = stored.type,
             .rows = stored.rows,
             .cols = stored.cols,
             .bytes = 0,
             .table = false,
             .group = stored.group,
             .bits = stored.bits};
  const int64_t tiles = tile_count(out), bytes = tile_bytes(out);
  out.bytes = static_cast<size_t>(tiles * bytes);
  const std::shared_ptr<char> data = weights(out.bytes);
  split(tiles, 1, stored.rows * stored.cols * 4, [&](int64_t begin, int64_t end) {
    std::memset(data.get() + begin * bytes, 0, static_cast<size_t>((end - begin) * bytes));
    for (int64_t tile = begin; tile < end; ++tile) pack_tile(stored, out, tile, data.get() + tile * bytes);
  });
  out.data = data;
  return out;
}

Matrix CpuBackend::pack_table(StoredMatrix stored) {
  auto bytes = std::make_shared<std::vector<char>>(std::move(stored.bytes));
  return {.data = {bytes, bytes->data()},
          .type = stored.type,
          .rows = stored.rows,
          .cols = stored.cols,
          .bytes = bytes->size(),
          .table = true};
}

void CpuBackend::linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                        bool add) {
  if (!is_quantized(w.type)) return linear_floats(w, x, x_stride, y, y_stride, n, add);
  if (inputs_ == Inputs::Floats) return linear_exact(w, x, x_stride, y, y_stride, n, add);
  linear_codes(w, x, x_stride, y, y_stride, n, add);
}

void CpuBackend::linear_floats(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                               bool add) {
  const GemmArgs args{w.data.get(), tile_bytes(w), x, x_stride, y, y_stride, w.cols, w.rows, add};
  const GemmKernel gemm = w.type == DType::BF16  ? kernels_.gemm_bf16
                          : w.type == DType::F16 ? kernels_.gemm_f16
                                                 : kernels_.gemm_f32;
  const int64_t work = n * w.rows * w.cols, tiles = tile_count(w);
  // Convolutions have many rows and few outputs, single steps the reverse.
  if (n / 8 > tiles) return split(n, 8, work, [&](int64_t begin, int64_t end) { gemm(args, begin, end, 0, tiles); });
  split(tiles, 4, work, [&](int64_t begin, int64_t end) { gemm(args, 0, n, begin, end); });
}

void CpuBackend::linear_exact(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                              bool add) {
  const int64_t bytes = tile_bytes(w), cols = packed_cols(w);
  split(tile_count(w), 1, n * w.rows * w.cols, [&](int64_t begin, int64_t end) {
    std::vector<float>& tile = work().unpacked;
    tile.resize(static_cast<size_t>(cols * kTileRows));
    for (int64_t t = begin; t < end; ++t) {
      unpack_tile(w, w.data.get() + t * bytes, tile.data());
      const GemmArgs args{reinterpret_cast<const char*>(tile.data()),
                          0,
                          x,
                          x_stride,
                          y + t * kTileRows,
                          y_stride,
                          w.cols,
                          w.rows - t * kTileRows,
                          add};
      kernels_.gemm_f32(args, 0, n, 0, 1);
    }
  });
}

void CpuBackend::linear_codes(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                              bool add) {
  Work& own = work();
  const int64_t blocks = packed_cols(w) / 32;
  own.codes.resize(static_cast<size_t>(n * blocks * 32 * kernels_.code_bytes));
  own.scales.resize(static_cast<size_t>(n * blocks));
  own.starts.resize(own.scales.size());
  own.sums.resize(own.scales.size());
  const int zero = w.type == DType::Q8_0 || w.type == DType::I8 ? 128 + kernels_.flip
                   : w.type == DType::U8 && w.bits == 8         ? kernels_.flip
                   : w.type == DType::Q4_0                      ? 8
                                                                : 0;
  const auto quantize = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i / kernels_.group * kernels_.group, step = std::min<int64_t>(kernels_.group, n - first);
      const auto at = static_cast<size_t>(first * blocks + i - first);
      kernels_.quantize(x + i * x_stride, w.cols, blocks, step, zero,
                        &own.codes[at * 32 * static_cast<size_t>(kernels_.code_bytes)], &own.scales[at],
                        &own.starts[at], &own.sums[at]);
    }
  };
  split(n, 1, n * w.cols * 4, quantize);
  const QuantArgs args{w.data.get(),
                       tile_bytes(w),
                       own.codes.data(),
                       own.scales.data(),
                       own.starts.data(),
                       own.sums.data(),
                       blocks,
                       y,
                       y_stride,
                       w.rows,
                       add};
  const QuantKernel gemm = w.type == DType::Q8_0   ? kernels_.q8_0
                           : w.type == DType::Q4_0 ? kernels_.q4_0
                           : w.type == DType::Q4_K ? kernels_.q4_k
                           : w.type == DType::I8   ? kernels_.i8
                           : w.bits == 4           ? kernels_.u4
                                                   : kernels_.u8;
  split(tile_count(w), 1, n * w.rows * w.cols, [&](int64_t begin, int64_t end) { gemm(args, 0, n, begin, end); });
}

void CpuBackend::embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) {
  const int64_t dim = table.cols;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t id = ids[i * id_stride];
    float* row = y + i * dim;
    if (!add) std::fill(row, row + dim, 0.0f);
    if (id == -1) continue;
    if (id < 0 || id >= table.rows)
      throw Error(kBadOption, "token " + std::to_string(id) + " is outside the table of " + std::to_string(table.rows));
    const char* data = table.data.get();
    if (!table.table) {
      const char* tile = data + id / kTileRows * tile_bytes(table) + id % kTileRows * 4;
      for (int64_t d = 0; d < dim; ++d) row[d] += load<float>(tile + d * kTileRows * 4);
    } else if (table.type == DType::Q8_0) {
      const char* blocks = data + id * stored_bytes(DType::Q8_0, (dim + 31) / 32 * 32);
      float values[32];
      for (int64_t d = 0; d < dim; ++d) {
        if (d % 32 == 0) dequantize(DType::Q8_0, blocks + d / 32 * 34, 32, values);
        row[d] += values[d % 32];
      }
    } else {
      const char* at = data + id * dim * dtype_bytes(table.type);
      for (int64_t d = 0; d < dim; ++d)
        row[d] += table.type == DType::F32    ? load<float>(at + 4 * d)
                  : table.type == DType::BF16 ? bf16_to_float(load<uint16_t>(at + 2 * d))
                                              : f16_to_float(load<uint16_t>(at + 2 * d));
    }
  }
}

void CpuBackend::norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) {
  split(n, 1, n * dim * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      kernels_.norm(x + i * dim, norm.weight.data(), norm.bias.data(), norm.eps, norm.kind == NormKind::Layer,
                    y + i * dim, dim);
  });
}

void CpuBackend::activate(Activation kind, const float* x, float* y, int64_t count, float alpha) {
  split(count, 64, count * 4,
        [&](int64_t begin, int64_t end) { kernels_.activate(kind, x + begin, y + begin, end - begin, alpha); });
}

void CpuBackend::gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) {
  const auto row = [&](int64_t i) { kernels_.gate(kind, x + i * 2 * h, x + i * 2 * h + h, y + i * h, h); };
  split(n, 1, n * h * 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) row(i);
  });
}

void CpuBackend::add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) {
  split(n, 1, n * dim, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* to = x + i * dim;
      const float* from = update + i * dim;
      if (scale)
        for (int64_t d = 0; d < dim; ++d) to[d] += scale[d] * from[d];
      else
        for (int64_t d = 0; d < dim; ++d) to[d] += from[d];
    }
  });
}

void CpuBackend::add_bias(float* y, const float* bias, int64_t n, int64_t dim) {
  split(n, 1, n * dim, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t d = 0; d < dim; ++d) y[i * dim + d] += bias[d];
  });
}

void CpuBackend::append(const AttentionShape& shape, int layer, float* qkv, const Rows& rows) {
  const int64_t q_width = shape.q_width(), kv_width = shape.kv_width(), dim = shape.head_dim, half = dim / 2;
  const float* rotation = rows.rotations;
  for (const Row& row : rows.host) {
    float *k = qkv + q_width, *v = k + kv_width;
    const auto rotate = [&](float* head) {
      for (int64_t i = 0; i < half; ++i) {
        const int64_t a = shape.rope_interleaved ? 2 * i : i, b = shape.rope_interleaved ? a + 1 : i + half;
        const float re = head[a], im = head[b];
        head[a] = re * rotation[2 * i] - im * rotation[2 * i + 1];
        head[b] = re * rotation[2 * i + 1] + im * rotation[2 * i];
      }
    };
    if (rotation) {
      for (int h = 0; h < shape.heads; ++h) rotate(qkv + h * dim);
      for (int h = 0; h < shape.kv_heads; ++h) rotate(k + h * dim);
      rotation += dim;
    }
    KvCache& cache = *row.cache;
    const int64_t at = row.position % cache.capacity(), page = at / cache.page(), in = at % cache.page();
    for (int h = 0; h < shape.kv_heads; ++h) {
      char *key = cache.keys(page, layer, h), *value = cache.values(page, layer, h);
      if (cache.type() == KvType::F32) {
        std::memcpy(key + in * dim * 4, k + h * dim, static_cast<size_t>(dim) * 4);
        std::memcpy(value + in * dim * 4, v + h * dim, static_cast<size_t>(dim) * 4);
      } else if (cache.type() == KvType::F16) {
        kernels_.to_f16(k + h * dim, dim, reinterpret_cast<uint16_t*>(key) + in * dim);
        kernels_.to_f16(v + h * dim, dim, reinterpret_cast<uint16_t*>(value) + in * dim);
      } else {
        cache.key_scales(page, layer, h)[in] =
            kernels_.to_q8(k + h * dim, dim, reinterpret_cast<int8_t*>(key) + in * dim);
        cache.value_scales(page, layer, h)[in] =
            kernels_.to_q8(v + h * dim, dim, reinterpret_cast<int8_t*>(value) + in * dim);
      }
    }
    qkv += q_width + 2 * kv_width;
  }
}

void CpuBackend::attend(const AttentionShape& shape, int layer, const float* qkv, float* out, const Rows& placed) {
  const std::span<const Row> rows = placed.host;
  const int64_t stride = shape.q_width() + 2 * shape.kv_width();
  int64_t seen = 0;
  for (const Row& row : rows) seen += (row.position - row.first + 1) * shape.q_width() * 2;
  const auto count = static_cast<int64_t>(rows.size()), group = int64_t{shape.heads / shape.kv_heads};
  const auto first_key = [&](int64_t item) -> const char* {
    const Row& row = rows[static_cast<size_t>(item % count)];
    const int64_t at = row.first % row.cache->capacity(), page = row.cache->page();
    return row.cache->keys(at / page, layer, static_cast<int>(item / count / group));
  };
  split(count * shape.heads, 1, seen, [&](int64_t begin, int64_t end) {
    Work& own = work();
    for (int64_t item = begin; item < end; ++item) {
      // Rows of one session follow one another, so that the second finds a head's keys where the first left them.
      const int64_t i = item % count, head = item / count;
      const Row& row = rows[static_cast<size_t>(i)];
      const KvCache& cache = *row.cache;
      const int kv_head = static_cast<int>(head / group);
      const int64_t pages = (std::min(row.position + 1, cache.capacity()) + cache.page() - 1) / cache.page();
      own.scores.resize(static_cast<size_t>(row.position - row.first + 1));
      own.pages.resize(static_cast<size_t>(2 * pages));
      own.page_scales.resize(own.pages.size());
      for (int64_t page = 0; page < pages; ++page) {
        const auto key = static_cast<size_t>(page), value = static_cast<size_t>(pages + page);
        own.pages[key] = cache.keys(page, layer, kv_head);
        own.pages[value] = cache.values(page, layer, kv_head);
        if (cache.type() != KvType::Q8) continue;
        own.page_scales[key] = cache.key_scales(page, layer, kv_head);
        own.page_scales[value] = cache.value_scales(page, layer, kv_head);
      }
      const AttendArgs args{qkv + i * stride + head * shape.head_dim,
                            own.pages.data(),
                            own.pages.data() + pages,
                            own.page_scales.data(),
                            own.page_scales.data() + pages,
                            cache.page(),
                            cache.capacity(),
                            shape.head_dim,
                            row.first,
                            row.position,
                            item + 1 < end ? first_key(item + 1) : nullptr,
                            own.scores.data(),
                            out + i * shape.q_width() + head * shape.head_dim};
      if (cache.type() == KvType::F32)
        kernels_.attend_f32(args);
      else if (cache.type() == KvType::F16)
        kernels_.attend_f16(args);
      else
        kernels_.attend_q8(args);
    }
  });
}

void CpuBackend::draw(const DrawData* rows, const int32_t* recent, float* logits, int64_t n, int64_t card,
                      int32_t* drawn, int32_t* taken) {
  each(n, [&](int64_t i) {
    drawn[i] = moshi::draw({logits + i * card, static_cast<size_t>(card)}, rows[i], recent);
    taken[i] = rows[i].given == kFree ? drawn[i] : rows[i].given;
  });
}

void CpuBackend::nearest(const Matrix& table, const float* x, int32_t* codes, int64_t stride, int64_t n) {
  split(n, 1, n * table.rows * table.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      codes[i * stride] = kernels_.nearest(table.data.get(), table.rows, table.cols, x + i * table.cols);
  });
}

}  // namespace moshi
