// Runs of stages for n = 1 … kStageRows rows: cooperative, any grid, blocks of kStageWarps warps, shared memory for the
// largest input. All blocks meet between two stages. Each makes what a layer reads for itself, of a few kB that lie in
// the second cache, since that is done before the grid could have met once more; and while it waits for the others, the
// weights of its next tiles are on their way.
//
// What a stage writes is read in the next one by other multiprocessors: never through load_stream.
#include "cuda/kernels/stages.h"

#include "cuda/kernels/activated.h"
#include "cuda/kernels/attend_stretch.h"
#include "cuda/kernels/codes.h"
#include "cuda/kernels/linear_tile.h"

namespace moshi {

namespace {

using namespace gpu;

// 1 / √(mean(x²) + eps) of each row of x, for every thread, summed as rms_norm does it. squares [kStageRows,
// kStageWarps] is the block's.
struct RootMeans {
  const float* squares;
  const LinearStage& s;

  GPU_DEVICE RootMeans(const LinearStage& s, int n, float* squares) : squares(squares), s(s) {
    const int threads = norm_threads(s.cols);
    for (int i = 0; i < n; ++i) {
      const float* x = s.x + static_cast<int64_t>(i) * s.x_stride;
      float sum = 0;
      for (int c = thread(); c < s.cols && thread() < threads; c += threads) sum = multiply_add(x[c], x[c], sum);
      sum = warp_sum(sum);
      if (lane() == 0) squares[i * kStageWarps + warp()] = sum;
    }
    barrier();
  }
  GPU_DEVICE float of(int i) const {
    float sum = 0;
    GPU_UNROLL
    for (int w = 0; w < kStageWarps; ++w) sum += squares[i * kStageWarps + w];
    return inverse_root(sum / static_cast<float>(s.cols) + s.eps);
  }
};

// Lays row(i)(column) down in the block's memory, as the layer reads its input.
template <typename Form, typename Row>
GPU_DEVICE void lay_down(Linear& a, int n, Row row) {
  if constexpr (Form::kCodes) {
    auto* codes = dynamic_shared<int8_t>();
    auto* scales = reinterpret_cast<InputScale*>(codes + 32 * a.blocks * n);
    for (int i = 0; i < n; ++i)
      quantize_row(row(i), a.cols, codes + 32 * a.blocks * i, scales + a.blocks * i, warp(), kStageWarps);
    a.codes = codes;
    a.x_scales = scales;
  } else {
    auto* floats = dynamic_shared<float>();
    const int stride = (a.cols + 3) / 4 * 4;
    for (int i = 0; i < n; ++i) {
      const auto value = row(i);
      for (int c = thread(); c < a.cols; c += threads()) floats[i * stride + c] = value(c);
    }
    a.x = floats;
    a.x_stride = stride;
  }
  barrier();
}

template <typename Form>
GPU_DEVICE void make_input(const LinearStage& s, Linear& a, int n) {
  GPU_SHARED(float, squares, kStageRows* kStageWarps);
  const auto x = [&s](int i) { return s.x + static_cast<int64_t>(i) * s.x_stride; };
  switch (s.input) {
    case StageInput::Plain:
      if constexpr (Form::kCodes) lay_down<Form>(a, n, [=](int i) { return [x = x(i)](int c) { return x[c]; }; });
      return;
    case StageInput::RmsNorm: {
      const RootMeans means(s, n, squares);
      return lay_down<Form>(a, n, [&](int i) {
        return [x = x(i), scale = means.of(i), norm = s.norm](int c) { return x[c] * scale * norm[c]; };
      });
    }
    case StageInput::Gate:
      return lay_down<Form>(a, n, [=, &s](int i) {
        return [x = x(i), kind = s.gate, cols = s.cols](int c) { return activated(kind, x[c], 1) * x[cols + c]; };
      });
  }
}

template <typename Form, int kN>
GPU_DEVICE void linear_tiles(const LinearStage& s, int n) {
  GPU_SHARED(float, parts, kStageWarps* Share<kN>::kSums);
  const int tiles = stage_tiles(s, n);
  if (block_x() >= tiles) return;
  Linear a{.w = s.w,
           .scales = s.scales,
           .x = s.x,
           .codes = nullptr,
           .x_scales = nullptr,
           .y = s.y,
           .x_stride = s.x_stride,
           .y_stride = s.y_stride,
           .rows = s.rows,
           .cols = s.cols,
           .blocks = s.blocks,
           .chunks = s.chunks,
           .groups = s.groups,
           .group_share = s.group_share,
           .split = s.split,
           .add = s.add};
  make_input<Form>(s, a, n);
  for (int tile = block_x(); tile < tiles; tile += blocks_x()) {
    linear_tile<Form, kN, kStageWarps>(a, tile, n, parts);
    barrier();
  }
}

template <typename Form>
GPU_DEVICE void run(const LinearStage& s, int n) {
  switch (stage_carries(n)) {
    case 1:
      return linear_tiles<Form, 1>(s, n);
    case 2:
      return linear_tiles<Form, 2>(s, n);
    default:
      return linear_tiles<Form, kStageRows>(s, n);
  }
}

// A warp takes a row and a head of keys with all queries of it.
GPU_DEVICE void run(const AttendStage& s, int n) {
  const int group = s.heads / s.kv_heads, width = (s.heads + 2 * s.kv_heads) * s.head_dim;
  for (int unit = block_x() * kStageWarps + warp(); unit < n * s.kv_heads; unit += blocks_x() * kStageWarps) {
    const int i = unit / s.kv_heads, head = unit % s.kv_heads;
    const RowData row = s.rows[i];
    const float* qkv = s.qkv + static_cast<int64_t>(i) * width;
    for (int side = 0; side < 2; ++side) {
      // Who reads rings shares where things lie; here one is also written.
      auto* to = const_cast<float*>(reinterpret_cast<const float*>(ring_data<4>(s, row, head, row.last, side)));
      const float* from = qkv + (s.heads + side * s.kv_heads + head) * s.head_dim;
      for (int d = lane(); d < s.head_dim; d += kWarp) to[d] = from[d];
    }
    warp_barrier(kAll);
    if (!s.out) continue;
    const View view(s, row);
    const Stretch seen(s, view, 0);
    for (int query = head * group; query < (head + 1) * group; ++query) {
      const auto own = attend_stretch<RingF32, true, false>(s, row, view, seen, qkv + query * s.head_dim, head, 0, 1);
      float* out = s.out + (static_cast<int64_t>(i) * s.heads + query) * s.head_dim;
      own.sums(s.head_dim, [&](int d, float sum) { out[d] = sum / own.total; });
    }
  }
}

// The weights of the block's tiles, a line of the cache a thread.
GPU_DEVICE void fetch(const LinearStage& s, int n) {
  constexpr int kLine = 128;
  const int of_tile = kStageWarps / s.split * linear_rows_at_once(stage_carries(n));
  const int64_t row = 16 * static_cast<int64_t>(s.chunks), all = row * s.rows, bytes = row * of_tile;
  for (int64_t begin = block_x() * bytes; begin < all; begin += blocks_x() * bytes)
    for (int64_t at = begin + kLine * thread(); at < begin + bytes && at < all; at += kLine * threads())
      prefetch(s.w + at);
}

template <typename Form>
GPU_DEVICE void stages(const Stages& all) {
  for (int i = 0; i < all.count; ++i) {
    if (i > 0) grid_barrier(all.meeting);
    if (all.stage[i].kind == StageKind::Linear)
      run<Form>(all.stage[i].linear, all.n);
    else
      run(all.stage[i].attend, all.n);
    if (i + 1 < all.count && all.stage[i + 1].kind == StageKind::Linear) fetch(all.stage[i + 1].linear, all.n);
  }
}

}  // namespace

#define MOSHI_STAGES(Form, form) \
  GPU_OF_FORM(                   \
      form, GPU_KERNEL(kStageWarps * 32, 2) stages_##form(Stages all) { stages<Form>(all); })
MOSHI_LINEAR_FORMS(MOSHI_STAGES)

}  // namespace moshi
