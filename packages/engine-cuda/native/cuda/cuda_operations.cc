// The operations of the CUDA backend: which kernel, how many blocks and threads. A launch never depends on the numbers
// it works on, so that it can be recorded; and how a row is summed never depends on the company it is in.
#include <algorithm>
#include <array>

#include "cuda/cuda_backend.h"
#include "cuda/kernels/draw.h"
#include "cuda/kernels/kernels.h"
#include "model/kv_cache.h"

namespace moshi {

namespace {

constexpr int kThreads = 256;
// Along y of a grid.
constexpr int64_t kMostRows = 65535;
// Rows of attention at a time over rings of several pages, which bounds the memory for what their pages give.
constexpr int64_t kAttendRows = 128;
// Values of a head that the lanes of a warp hold, four at a time.
constexpr int kMostHeadDim = 256;

int whole(int64_t value) {
  return static_cast<int>(value);
}
int64_t parts(int64_t count, int64_t size) {
  return (count + size - 1) / size;
}
// A thread a value, in blocks along x, for so many rows along y.
LaunchShape over(int64_t values, int64_t rows = 1) {
  const int threads = whole(std::clamp<int64_t>(parts(values, 32) * 32, 32, kThreads));
  const int64_t blocks = std::clamp<int64_t>(parts(values, threads), 1, 4096);
  return {.grid = {whole(blocks), whole(rows)}, .threads = threads};
}
// run(first, count) for parts that fit into a grid.
template <typename Run>
void in_grids(int64_t rows, Run run) {
  for (int64_t first = 0; first < rows; first += kMostRows) run(first, std::min(kMostRows, rows - first));
}

// The input of a layer over codes, and how it is made: a warp takes four blocks of 32 columns at a time.
struct Codes {
  Codes(Working& memory, const gpu::PackedLayout& layout, int64_t n)
      : codes(memory.array<int8_t>(n * 32 * layout.blocks)), scales(memory.array<InputScale>(n * layout.blocks)) {}
  Linear of(Linear a) const {
    a.codes = codes;
    a.x_scales = scales;
    return a;
  }
  int8_t* codes;
  InputScale* scales;
};
LaunchShape codes_shape(const gpu::PackedLayout& layout, int64_t rows) {
  constexpr int kWarps = 4;
  return {.grid = {whole(parts(layout.blocks, 4 * kWarps)), whole(rows)}, .threads = 32 * kWarps};
}

// y (+)= input(x), of a layer that is still to be named.
LinearStage stage_of(StageInput input, const float* x, int64_t x_stride, float* y, int64_t y_stride, bool add) {
  LinearStage out{};
  out.x = x;
  out.y = y;
  out.x_stride = whole(x_stride);
  out.y_stride = whole(y_stride);
  out.input = input;
  out.add = add;
  return out;
}

// The layout of the rings of a call, which is the same for all of them.
template <typename Call>
void set_ring(Call& call, const AttentionShape& shape, int layer, const KvCache& cache) {
  call.layer = layer;
  call.layers = cache.layers();
  call.heads = shape.heads;
  call.kv_heads = shape.kv_heads;
  call.head_dim = shape.head_dim;
  call.page = whole(cache.page());
  call.capacity = whole(cache.capacity());
}

}  // namespace

void CudaBackend::multiply(const gpu::PackedLayout& layout, Linear a, float* y, int64_t y_stride, int64_t n, bool add) {
  a.y = y;
  a.y_stride = y_stride;
  a.add = add;
  const Locked card = card_now();
  if (n <= kLinearMost) {
    const LaunchShape shape{.grid = {linear_blocks(a.rows, a.split, whole(n))}, .threads = 32 * kLinearWarps};
    return card->launch<decltype(linear_f32_1)>(linear_name(layout.form, whole(n)), shape, a);
  }
  const GemmPlan plan = gemm_plan(layout.form, card->kernels_arch(), a.rows, a.cols, whole(n));
  const LaunchShape shape{.grid = {plan.x, plan.y, plan.z},
                          .threads = plan.threads,
                          .shared_bytes = static_cast<size_t>(plan.shared_bytes)};
  Working memory(*this);
  if (plan.z > 1) {
    a.parts = memory.floats(gemm_parts_floats(plan, a.cols));
    a.arrived = reinterpret_cast<int32_t*>(arrived_.data());
  }
  card->launch<decltype(gemm_f32_32x32)>(gemm_name(layout.form, plan), shape, a, whole(n));
}

void CudaBackend::linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
                         bool add) {
  if (gathered(w, stage_of(StageInput::Plain, x, x_stride, y, y_stride, add), n,
               [=, this] { linear(w, x, x_stride, y, y_stride, n, add); }))
    return;
  const gpu::PackedLayout layout = gpu::packed_layout(w);
  Linear a = gpu::linear_of(layout, w.data.get());
  if (!is_quantized(w.type)) {
    a.x = x;
    a.x_stride = x_stride;
    return multiply(layout, a, y, y_stride, n, add);
  }
  Working memory(*this);
  const Codes codes(memory, layout, n);
  in_grids(n, [&](int64_t first, int64_t count) {
    GPU_RUN(*card_now(), quantize_rows, codes_shape(layout, count), x + first * x_stride, x_stride, whole(w.cols),
            codes.codes + first * 32 * layout.blocks, codes.scales + first * layout.blocks);
  });
  multiply(layout, codes.of(a), y, y_stride, n, add);
}

void CudaBackend::linear_with(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t n,
                              const LinearEnd& end) {
  if (!end.bias && !end.scale && end.after == Activation::Identity)
    return linear(w, x, x_stride, y, w.rows, n, end.adds);
  const gpu::PackedLayout layout = gpu::packed_layout(w);
  if (!has_end(layout.form)) return Backend::linear_with(w, x, x_stride, y, n, end);
  Linear a = gpu::linear_of(layout, w.data.get());
  a.x = x;
  a.x_stride = x_stride;
  a.bias = end.bias;
  a.gain = end.scale;
  a.after = end.after;
  a.alpha = end.alpha;
  multiply(layout, a, y, w.rows, n, end.adds);
}

void CudaBackend::linear_of_norm(const Matrix& w, const Norm& norm, const float* x, float* y, int64_t n,
                                 Activation after) {
  LinearStage stage = stage_of(StageInput::RmsNorm, x, w.cols, y, w.rows, false);
  stage.norm = norm.weight.data();
  stage.eps = norm.eps;
  if (norm.kind == NormKind::Rms && after == Activation::Identity &&
      gathered(w, stage, n, [=, this] { linear_of_norm(w, norm, x, y, n, after); }))
    return;
  if (!is_quantized(w.type) || norm.kind != NormKind::Rms || after != Activation::Identity)
    return Backend::linear_of_norm(w, norm, x, y, n, after);
  const gpu::PackedLayout layout = gpu::packed_layout(w);
  Working memory(*this);
  const Codes codes(memory, layout, n);
  const LaunchShape shape{.grid = {whole(n)}, .threads = norm_threads(whole(w.cols))};
  GPU_RUN(*card_now(), rms_norm_codes, shape, x, norm.weight.data(), norm.eps, whole(w.cols), codes.codes,
          codes.scales);
  multiply(layout, codes.of(gpu::linear_of(layout, w.data.get())), y, w.rows, n, false);
}

void CudaBackend::add_linear_of_gate(const Matrix& w, Activation kind, const float* x, const float* scale, float* y,
                                     int64_t n) {
  LinearStage stage = stage_of(StageInput::Gate, x, 2 * w.cols, y, w.rows, true);
  stage.gate = kind;
  if (!scale && gathered(w, stage, n, [=, this] { add_linear_of_gate(w, kind, x, scale, y, n); })) return;
  if (!is_quantized(w.type) || scale) return Backend::add_linear_of_gate(w, kind, x, scale, y, n);
  const gpu::PackedLayout layout = gpu::packed_layout(w);
  Working memory(*this);
  const Codes codes(memory, layout, n);
  in_grids(n, [&](int64_t first, int64_t count) {
    GPU_RUN(*card_now(), gate_codes, codes_shape(layout, count), kind, x + first * 2 * w.cols, w.cols,
            codes.codes + first * 32 * layout.blocks, codes.scales + first * layout.blocks);
  });
  multiply(layout, codes.of(gpu::linear_of(layout, w.data.get())), y, w.rows, n, true);
}

void CudaBackend::embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) {
  look_up(std::array{Lookup{table, 0}}, ids, id_stride, y, n, add);
}

void CudaBackend::embed_sum(std::span<const Lookup> tables, const int32_t* ids, int64_t id_stride, float* y,
                            int64_t n) {
  const DType type = tables.front().table.type;
  if (!std::all_of(tables.begin(), tables.end(), [&](const Lookup& one) { return one.table.type == type; }))
    return Backend::embed_sum(tables, ids, id_stride, y, n);
  for (size_t begin = 0; begin < tables.size(); begin += kEmbedMost)
    look_up(tables.subspan(begin, std::min<size_t>(kEmbedMost, tables.size() - begin)), ids, id_stride, y, n,
            begin > 0);
}

void CudaBackend::look_up(std::span<const Lookup> tables, const int32_t* ids, int64_t id_stride, float* y, int64_t n,
                          bool add) {
  const Matrix& first_table = tables.front().table;
  const char* name = first_table.type == DType::F32    ? "embed_f32"
                     : first_table.type == DType::F16  ? "embed_f16"
                     : first_table.type == DType::BF16 ? "embed_bf16"
                                                       : "embed_q8";
  Embed a{};
  for (const auto& [table, place] : tables) {
    const int64_t elements = block_elements(table.type);
    const int64_t row_bytes = table.table ? stored_bytes(table.type, parts(table.cols, elements) * elements)
                                          : 16 * gpu::packed_layout(table).chunks;
    a.tables[a.count++] = {table.data.get(), row_bytes, whole(table.rows), whole(place)};
  }
  a.id_stride = id_stride;
  a.dim = first_table.cols;
  a.add = add;
  in_grids(n, [&](int64_t first, int64_t count) {
    a.ids = ids + first * id_stride;
    a.y = y + first * a.dim;
    card_now()->launch<decltype(embed_f32)>(name, over(a.dim, count), a);
  });
}

void CudaBackend::norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) {
  const LaunchShape shape{.grid = {whole(n)}, .threads = norm_threads(whole(dim))};
  if (norm.kind == NormKind::Rms)
    GPU_RUN(*card_now(), rms_norm, shape, x, norm.weight.data(), norm.eps, y, whole(dim));
  else
    GPU_RUN(*card_now(), layer_norm, shape, x, norm.weight.data(), norm.bias.data(), norm.eps, y, whole(dim));
}

void CudaBackend::activate(Activation kind, const float* x, float* y, int64_t count, float alpha) {
  GPU_RUN(*card_now(), activate, over(count), kind, x, y, count, alpha);
}

void CudaBackend::gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) {
  in_grids(n, [&](int64_t first, int64_t count) {
    GPU_RUN(*card_now(), gate, over(h, count), kind, x + first * 2 * h, y + first * h, h);
  });
}

void CudaBackend::add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) {
  if (!scale) return GPU_RUN(*card_now(), add_scaled, over(n * dim), x, update, scale, n * dim);
  in_grids(n, [&](int64_t first, int64_t count) {
    GPU_RUN(*card_now(), add_scaled, over(dim, count), x + first * dim, update + first * dim, scale, dim);
  });
}

void CudaBackend::add_bias(float* y, const float* bias, int64_t n, int64_t dim) {
  in_grids(n, [&](int64_t first, int64_t count) {
    GPU_RUN(*card_now(), add_bias, over(dim, count), y + first * dim, bias, dim);
  });
}

void CudaBackend::subtract(float* x, const float* y, int64_t count) {
  GPU_RUN(*card_now(), subtract, over(count), x, y, count);
}

void CudaBackend::clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t n, int64_t dim) {
  in_grids(n, [&](int64_t first, int64_t count) {
    GPU_RUN(*card_now(), clear_absent, over(dim, count), ids + first * id_stride, id_stride, y + first * dim, dim);
  });
}

void CudaBackend::window(const ConvWindow& shape, const Streams& streams, const float* x, float* out) {
  window_of_activation(Activation::Identity, 1, shape, streams, x, out);
}

void CudaBackend::window_of_activation(Activation kind, float alpha, const ConvWindow& shape, const Streams& streams,
                                       const float* x, float* out) {
  const Window w{.x = x,
                 .out = out,
                 .streams = streams.data,
                 .offset = shape.offset,
                 .past = whole(shape.past),
                 .time = whole(shape.time),
                 .channels = whole(shape.channels),
                 .taps = shape.taps,
                 .stride = shape.stride,
                 .dilation = shape.dilation,
                 .replicate = shape.replicate,
                 .before = kind,
                 .alpha = alpha};
  GPU_RUN(*card_now(), window, over(shape.size(), streams.count()), w);
}

void CudaBackend::scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                                 int64_t channels) {
  in_grids(rows, [&](int64_t first, int64_t count) {
    GPU_RUN(*card_now(), scale_channels, over(taps * channels, count), x + first * channels, weight,
            out + first * taps * channels, taps, channels);
  });
}

void CudaBackend::overlap_add(const ConvOverlap& shape, const Streams& streams, const float* columns, const float* bias,
                              float* y) {
  const OverlapAdd o{.x = columns,
                     .bias = bias,
                     .y = y,
                     .streams = streams.data,
                     .offset = shape.offset,
                     .time = whole(shape.time),
                     .channels = whole(shape.channels),
                     .taps = shape.taps,
                     .stride = shape.stride};
  GPU_RUN(*card_now(), overlap_add, over(shape.time * shape.stride * shape.channels, streams.count()), o);
}

void CudaBackend::append(const AttentionShape& shape, int layer, float* qkv, const Rows& rows) {
  if (shape.head_dim > kMostHeadDim)
    throw Error(kBadModel, "the model's heads have " + std::to_string(shape.head_dim) + " values; GPUs take " +
                               std::to_string(kMostHeadDim) + " at most: run it with gpu: false");
  if (gathered(shape, layer, qkv, rows)) return;
  const KvCache& cache = *rows.host.front().cache;
  Append a{};
  set_ring(a, shape, layer, cache);
  a.stride = shape.q_width() + 2 * shape.kv_width();
  a.interleaved = shape.rope_interleaved;
  const char* name = cache.type() == KvType::F32   ? "append_f32"
                     : cache.type() == KvType::F16 ? "append_f16"
                                                   : "append_q8";
  constexpr int kWarps = 4;
  const int64_t heads = shape.heads + 2 * shape.kv_heads;
  in_grids(rows.count(), [&](int64_t first, int64_t count) {
    const Rows some = rows.part(first, count);
    a.qkv = qkv + first * a.stride;
    a.rows = some.data;
    a.rotations = some.rotations;
    const LaunchShape how{.grid = {whole(parts(heads, kWarps)), whole(count)}, .threads = 32 * kWarps};
    card_now()->launch<decltype(append_f32)>(name, how, a);
  });
}

// A block for every page of a ring, seen or not. One conversation at position 1500 of 3000 has 192 blocks of 8 warps to
// keep an H200's 132 multiprocessors busy, and what a full page writes is less than a hundredth of what it reads.
void CudaBackend::attend(const AttentionShape& shape, int layer, const float* qkv, const Rows& rows, Attend a) {
  const KvCache& cache = *rows.host.front().cache;
  const Attend all = a;
  set_ring(a, shape, layer, cache);
  a.q_stride = shape.q_width() + 2 * shape.kv_width();
  const char* name = cache.type() == KvType::F32   ? "attend_f32"
                     : cache.type() == KvType::F16 ? "attend_f16"
                                                   : "attend_q8";
  const int warps = attend_warps(a.page), pages = whole(cache.pages());
  const int64_t at_once = pages > 1 ? kAttendRows : kMostRows;
  Working memory(*this);
  if (pages > 1)
    a.parts = memory.floats(std::min(rows.count(), at_once) * shape.heads * pages * (shape.head_dim + kAttendEnd));
  const Locked card = card_now();
  for (int64_t first = 0; first < rows.count(); first += at_once) {
    const int count = whole(std::min(at_once, rows.count() - first));
    a.q = qkv + first * a.q_stride;
    if (all.out) a.out = all.out + first * shape.q_width();
    if (all.codes) a.codes = all.codes + first * shape.q_width(), a.scales = all.scales + first * shape.q_width() / 32;
    a.rows = rows.data + first;
    const LaunchShape how{.grid = {shape.heads, count, pages},
                          .threads = 32 * warps,
                          .shared_bytes = static_cast<size_t>(attend_shared_bytes(warps, shape.head_dim))};
    card->launch<decltype(attend_f32)>(name, how, a);
    if (pages == 1) continue;
    const LaunchShape join{.grid = {shape.heads, count}, .threads = over(shape.head_dim).threads};
    GPU_RUN(*card, attend_join, join, a);
  }
}

void CudaBackend::attend(const AttentionShape& shape, int layer, const float* qkv, float* out, const Rows& rows) {
  if (AttendStage* stage = gathered_append(layer, qkv)) {
    stage->out = out;
    return;
  }
  Attend a{};
  a.out = out;
  attend(shape, layer, qkv, rows, a);
}

void CudaBackend::add_linear_of_attention(const Matrix& w, const AttentionShape& shape, int layer, const float* qkv,
                                          const Rows& rows, const float* scale, float* y) {
  if (!is_quantized(w.type) || scale || shape.head_dim % 32 != 0 || gathered_append(layer, qkv))
    return Backend::add_linear_of_attention(w, shape, layer, qkv, rows, scale, y);
  const gpu::PackedLayout layout = gpu::packed_layout(w);
  Working memory(*this);
  const Codes codes(memory, layout, rows.count());
  Attend a{};
  a.codes = codes.codes;
  a.scales = codes.scales;
  attend(shape, layer, qkv, rows, a);
  multiply(layout, codes.of(gpu::linear_of(layout, w.data.get())), y, w.rows, rows.count(), true);
}

void CudaBackend::nearest(const Matrix& table, const float* x, int32_t* codes, int64_t stride, int64_t n) {
  find_nearest(table, x, nullptr, codes, stride, n);
}

void CudaBackend::take_nearest(const Matrix& table, float* x, int32_t* codes, int64_t stride, int64_t n) {
  find_nearest(table, x, x, codes, stride, n);
}

void CudaBackend::find_nearest(const Matrix& table, const float* x, float* rest, int32_t* codes, int64_t stride,
                               int64_t n) {
  const int bins = whole(table.rows), count = nearest_parts_of(bins);
  Working memory(*this);
  const Nearest a{.table = reinterpret_cast<const float*>(table.data.get()),
                  .x = x,
                  .parts = memory.array<Candidate>(n * count),
                  .codes = codes,
                  .rest = rest,
                  .row_floats = 4 * gpu::packed_layout(table).chunks,
                  .code_stride = stride,
                  .bins = bins,
                  .dim = whole(table.cols),
                  .n = whole(n)};
  const Locked card = card_now();
  const LaunchShape search{.grid = {count, nearest_groups(whole(n))}, .threads = 32 * kNearestRows};
  GPU_RUN(*card, nearest_parts, search, a);
  GPU_RUN(*card, nearest_choose, (LaunchShape{.grid = {whole(n)}, .threads = 32}), a);
}

void CudaBackend::draw(const DrawData* rows, const int32_t* recent, float* logits, int64_t n, int64_t card,
                       int32_t* drawn, int32_t* taken) {
  if (card > kDrawMost)
    throw Error(kBadModel, "draws from " + std::to_string(card) + " tokens; GPUs draw from " +
                               std::to_string(kDrawMost) + " at most: run this model with gpu: false");
  const int width = whole(card);
  Working memory(*this);
  auto* scratch = memory.array<uint32_t>(n * draw_scratch(width));
  const LaunchShape shape{.grid = {whole(n)},
                          .threads = draw_threads(width),
                          .shared_bytes = static_cast<size_t>(draw_shared_bytes(width))};
  GPU_RUN(*card_now(), draw, shape, rows, recent, logits, width, drawn, taken, scratch);
}

}  // namespace moshi
