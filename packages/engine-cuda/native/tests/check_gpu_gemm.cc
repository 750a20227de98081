// Linear layers of the GPU for many rows, on fibers: every form, path and tile against plain arithmetic at odd shapes;
// that neither tile, company nor the order of threads changes a bit.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "cuda/cuda_backend.h"
#include "cuda/host/emulated_driver.h"
#include "tests/checks.h"
#include "tests/gpu_linear_tools.h"

namespace moshi {

namespace {

constexpr float kUntouched = 12345;
// What a block may ask for on the smallest GPU that has the kernel.
constexpr size_t kMostShared = 99 * 1024;
// Rows of y behind those that are asked for, more than any tile has too many.
constexpr int kBehind = 130;

struct Input {
  Input(int rows_of_x, int64_t columns, int64_t apart)
      : n(rows_of_x), stride(apart), x(normal((n - 1) * stride + columns)) {}

  int n;
  int64_t stride;
  Floats x;
};

// y [n + kBehind, rows + 3], of which nothing but [n, rows] may be touched; the n rows of x from `first` on.
Floats run(const Layer& layer, const GemmPlan& plan, const Input& in, int first, int n, const Floats* before = nullptr,
           Order order = kForward, const Ended* end = nullptr) {
  const int64_t y_stride = layer.layout.rows + 3;
  Floats y = before ? *before : Floats(static_cast<size_t>((n + kBehind) * y_stride), kUntouched);
  const float* x = in.x.data() + first * in.stride;
  Codes codes(x, in.stride, n, static_cast<int>(layer.layout.cols));
  Linear a = layer.linear(x, in.stride, codes, y.data(), y_stride, end ? end->end.adds : before != nullptr);
  if (end) end->set(a);
  Floats given(static_cast<size_t>(gemm_parts_floats(plan, a.cols)), NAN);
  std::vector<int32_t> arrived(static_cast<size_t>(plan.x * plan.y));
  a.parts = given.data();
  a.arrived = arrived.data();
  gpu::host::launch({.kernel = gemm_name(layer.layout.form, plan),
                     .grid = {plan.x, plan.y, plan.z},
                     .threads = plan.threads,
                     .shared_bytes = static_cast<size_t>(plan.shared_bytes),
                     .order = order,
                     .shared_limit = kMostShared},
                    gemm_kernel(layer.layout.form, plan), a, n);
  expect(std::count(arrived.begin(), arrived.end(), 0) == plan.x * plan.y,
         "those who share a tile leave its count at 0");
  return y;
}

bool untouched(const Floats& y, int64_t rows, int n) {
  bool fine = true;
  for (int64_t i = 0; i < n + kBehind; ++i)
    for (int64_t r = i < n ? rows : 0; r < rows + 3; ++r)
      fine &= y[static_cast<size_t>(i * (rows + 3) + r)] == kUntouched;
  return fine;
}

// What one path gives for one matrix; the same bits for every tile.
Floats check_path(const StoredMatrix& s, const Layer& layer, GemmPath path, const Input& in, double tolerance) {
  const int rows = static_cast<int>(s.rows);
  const auto plan = [&](int tile, int n) { return gemm_plan_with(layer.layout.form, path, tile, rows, n); };
  const auto name_of_tile = [&](int tile) {
    return name_of(s) + ", " + std::to_string(in.n) + " rows " + std::to_string(in.stride) + " apart, " +
           gemm_name(layer.layout.form, plan(tile, in.n));
  };
  const Floats all = run(layer, plan(0, in.n), in, 0, in.n);
  const double error = error_of(s, in.x, in.stride, in.n, all, s.rows + 3);
  expect(error < tolerance, name_of_tile(0) + " agrees with plain arithmetic to " + std::to_string(error));
  expect(untouched(all, s.rows, in.n), name_of_tile(0) + " writes nothing but its rows");

  for (int tile = 0; tile < gemm_tiles(path).count; ++tile) {
    const std::string name = name_of_tile(tile);
    if (tile > 0) expect(run(layer, plan(tile, in.n), in, 0, in.n) == all, name + ": the tile changes no bit");
    // The last rows by themselves.
    const int n = std::min(in.n, kLinearMost + 1), first = in.n - n;
    const Floats few = run(layer, plan(tile, n), in, first, n);
    expect(std::equal(few.begin(), few.begin() + n * (s.rows + 3), all.begin() + first * (s.rows + 3)),
           name + ": company changes no bit");
    bool ordered = true;
    // Where there are steps enough that one could run into another.
    for (const Order order : kOthers)
      if (s.cols > 200) ordered &= run(layer, plan(tile, in.n), in, 0, in.n, nullptr, order) == all;
    expect(ordered, name + ": the order of threads changes no bit");

    // Blocks with one part and with several, and as many as there are parts.
    const int parts =
        path == GemmPath::Plain && !has_codes(layer.layout.form) && gemm_shares(gemm_tiles(path).tiles[tile])
            ? gemm_parts(static_cast<int>(s.cols))
            : 1;
    for (const int sharing : {2, 3, parts})
      for (const Order order : {kForward, kOthers[0], kOthers[1]})
        if (sharing > 1 && sharing <= parts)
          expect(run(layer, gemm_plan_with(layer.layout.form, path, tile, rows, in.n, sharing), in, 0, in.n, nullptr,
                     order) == all,
                 name + ": " + std::to_string(sharing) + " blocks to a tile change no bit");

    const Floats before = normal(static_cast<int64_t>(all.size()));
    const Floats sums = run(layer, plan(tile, in.n), in, 0, in.n, &before);
    double most = 1, off = 0;
    for (int i = 0; i < in.n; ++i)
      for (int64_t r = 0; r < s.rows; ++r) {
        const auto at = static_cast<size_t>(i * (s.rows + 3) + r);
        most = std::fmax(most, std::fabs(all[at]));
        off = std::fmax(off, std::fabs(static_cast<double>(before[at]) + all[at] - sums[at]));
      }
    expect(off < 1e-6 * most, name + " adds when told to");

    if (!has_end(layer.layout.form)) continue;
    for (const End& end : kEnds) {
      const Ended ended(end, s.rows);
      const Floats y = run(layer, plan(tile, in.n), in, 0, in.n, &before, kForward, &ended);
      expect(ended.error(all, before, y, in.n, s.rows, s.rows + 3) < 1e-6, name + ended.name() + " ends as told to");
    }
  }
  return all;
}

void check_matrix(const StoredMatrix& s, int n, int64_t stride) {
  const Layer layer(s);
  const Input in(n, s.cols, stride);
  const Floats plain = check_path(s, layer, GemmPath::Plain, in, 2e-5);
  if (layer.layout.form == LinearForm::BF16) check_path(s, layer, GemmPath::Mma80, in, 2e-5);
  if (!has_codes(layer.layout.form)) return;
  for (const GemmPath path : {GemmPath::Mma75, GemmPath::Mma80})
    expect(check_path(s, layer, path, in, 2e-5) == plain,
           name_of(s) + ", " + std::to_string(n) + " rows: matrix units give the same bits");
}

struct Shape {
  int64_t rows, cols;
  int n;
  int64_t stride;
};
// Fewer and more of everything than a tile has, rows of x that overlap and that lie apart, odd numbers of blocks.
constexpr Shape kShapes[] = {
    {1, 7, 161, 1}, {33, 100, 9, 101}, {70, 257, 67, 64}, {130, 33, 20, 40}, {9, 1100, 66, 1100}};
constexpr Shape kGrouped[] = {
    {1, 32, 161, 1}, {33, 96, 9, 101}, {70, 288, 67, 64}, {130, 32, 20, 40}, {9, 1056, 66, 1056}};

void check_plan() {
  for (const LinearForm form : {LinearForm::F32, LinearForm::BF16, LinearForm::Q8_0, LinearForm::Q4_K})
    for (const int arch : {61, 75, 80, 120})
      for (const int rows : {1, 32, 33, 512, 4096, 22528})
        for (const auto& [cols, n] :
             {std::pair{100, 9}, {3072, 16}, {100, 32}, {1280, 33}, {11264, 160}, {384, 480}, {100, 1920 * 8}}) {
          const GemmPlan plan = gemm_plan(form, arch, rows, cols, n);
          const GemmTile tile = gemm_tiles(plan.path).tiles[plan.tile];
          const std::string name = std::string("the plan of ") + gemm_name(form, plan) + " for " +
                                   std::to_string(rows) + " rows by " + std::to_string(n);
          expect(plan.z >= 1 && plan.z <= gemm_parts(cols) &&
                     (plan.z == 1 || (gemm_shares(tile) && plan.x * plan.y * plan.z <= kGemmSharing)),
                 name + " has blocks enough for its columns, and places where they count");
          expect(plan.x * tile.columns >= n && (plan.x - 1) * tile.columns < n && plan.y * tile.rows >= rows &&
                     (plan.y - 1) * tile.rows < rows,
                 name + " covers all, and nothing twice");
          expect(plan.path == gemm_plan(form, arch, rows, cols, 9).path, name + " has the path of all numbers of rows");
          const GemmPath best = arch >= 80 ? GemmPath::Mma80 : arch >= 75 ? GemmPath::Mma75 : GemmPath::Plain;
          expect(plan.path == (has_codes(form) ? best : plan.path) && plan.path <= best,
                 name + " takes what GPU " + std::to_string(arch) + " has");
          expect(plan.shared_bytes <= static_cast<int>(plan.path == GemmPath::Mma80 ? kMostShared : 0),
                 name + " fits into shared memory");
        }
}

// A driver that refuses the newest PTX has images of an older generation, without what multiplies in later ones.
void check_older_images() {
  constexpr int kRows = 70, kCols = 96, kCount = 20;
  const gpu::host::StandInKernels kernels;
  const StoredMatrix stored = random_matrix(DType::Q8_0, kRows, kCols);
  const Floats x = normal(kCount * kCols);
  Floats first;
  for (const auto& [arch, ptx, taken] :
       {std::tuple{61, 60, 61}, {75, 60, 61}, {75, 65, 75}, {80, 69, 75}, {80, 70, 80}}) {
    CudaBackend backend(gpu::host::emulated_driver({.arch = arch, .ptx = ptx}), {.kernels = kernels.folder()}, 1);
    const Matrix w = backend.pack(stored);
    const Buffer in = backend.upload(x), out = backend.allocate(kCount * kRows);
    backend.linear(w, in.data(), kCols, out.data(), kRows, kCount, false);
    Floats y(kCount * kRows);
    backend.read(y.data(), out.data(), kCount * kRows);
    if (first.empty()) first = y;
    expect(backend.card().kernels_arch() == taken && y == first,
           "sm_" + std::to_string(arch) + " with PTX up to " + std::to_string(ptx) + " multiplies as its kernels do");
  }
}

}  // namespace

void check_gpu_gemm() {
  check_plan();
  check_older_images();
  for (const Kind& kind : kKinds)
    for (const Shape& shape : kind.type == DType::U8 ? kGrouped : kShapes)
      check_matrix(
          random_matrix(kind.type, shape.rows, shape.cols, kind.bits, kind.group > 0 ? kind.group : shape.cols),
          shape.n, shape.stride);
}

}  // namespace moshi
