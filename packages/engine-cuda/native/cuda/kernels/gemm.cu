// Linear layers for many rows of x, by plain arithmetic: y [n, y_stride] (+)= x [n] times w [rows, cols] of
// cuda/packed.h. Grid (tiles of x, tiles of w), blocks of 128 threads; neighbours in the grid read the same of w.
//
// A step brings 16 words of each row of a tile to shared memory, w unpacked: 16 floats, or 64 codes, which are two
// blocks of scales. Global memory is read a step ahead into registers, and shared memory written in turns, so that a
// step needs one barrier. Thread t has rows t % 8 + 8 r and columns t / 8 + 16 c of a tile: what a warp reads together
// lies on different banks, and what it writes side by side.
//
// A sum goes over columns one by one, over codes block by block: its order is the same in every tile.
#include "cuda/kernels/gemm.h"

#include "cuda/gpu.h"
#include "cuda/kernels/forms.h"

namespace moshi {

namespace {

using namespace gpu;

constexpr int kQuads = 4;           // of words, in a row and step
constexpr int kApart = kQuads + 1;  // between rows, since whole powers of two would share banks
constexpr int kTurns = 2;
constexpr int kAlongRows = 8, kAlongColumns = kGemmThreads / kAlongRows;  // threads of a block

// What each thread has of so many things.
constexpr int share(int count) {
  return (count + kGemmThreads - 1) / kGemmThreads;
}
// Calls each(j, i) for the things of this thread: thing i is its j-th.
template <int kCount, typename Each>
GPU_DEVICE void for_mine(Each each) {
  GPU_UNROLL
  for (int j = 0; j < share(kCount); ++j) {
    const int i = thread() + j * kGemmThreads;
    if (kCount % kGemmThreads == 0 || i < kCount) each(j, i);
  }
}

// A step of a tile of so many rows of w or x: [kTurns][rows][kApart] in shared memory.
template <int kRows>
struct Shared {
  Int4* quads;

  GPU_DEVICE Int4& at(int turn, int row, int quad) const { return quads[(turn * kRows + row) * kApart + quad]; }
};

// Weights.
template <typename Form, int kRows>
struct Weights {
  static constexpr int kChunks = (Form::kCodes ? 64 : 16) / Form::kColumns;  // of a row and step
  static constexpr int kUnpacked = kQuads / kChunks;                         // quads of a chunk

  GPU_DEVICE void load(const Linear& a, int first, int step) {
    for_mine<kRows * kChunks>([&](int j, int i) {
      const int row = first + i / kChunks, chunk = step * kChunks + i % kChunks;
      // Rows that do not exist are loaded as what is there, and not used; columns beyond the last are zeros.
      ahead[j] =
          chunk < a.chunks ? load_chunk(a, row < a.rows ? row : a.rows - 1, static_cast<uint32_t>(chunk)) : Int4{};
    });
  }
  GPU_DEVICE void store(const Shared<kRows>& shared, int turn) const {
    for_mine<kRows * kChunks>([&](int j, int i) {
      int words[4 * kUnpacked];
      if constexpr (Form::kCodes) {
        Form::unpack(ahead[j], words);
      } else {
        const typename Form::Weights w = Form::ready(ahead[j], 0);
        GPU_UNROLL
        for (int k = 0; k < 4 * kUnpacked; ++k) words[k] = __builtin_bit_cast(int, w.v[k]);
      }
      GPU_UNROLL
      for (int q = 0; q < kUnpacked; ++q)
        shared.at(turn, i / kChunks,
                  i % kChunks * kUnpacked + q) = {{words[4 * q], words[4 * q + 1], words[4 * q + 2], words[4 * q + 3]}};
    });
  }

  Int4 ahead[share(kRows * kChunks)] = {};
};

// Rows of x, as floats or as codes.
template <bool kCodes, int kRows>
struct Inputs {
  GPU_DEVICE void load(const Linear& a, int n, int first, int step) {
    for_mine<kRows * kQuads>([&](int j, int i) {
      const int row = first + i / kQuads < n ? first + i / kQuads : n - 1, quad = step * kQuads + i % kQuads;
      if constexpr (kCodes) {
        const auto* codes = reinterpret_cast<const Int4*>(a.codes) + static_cast<int64_t>(row) * a.blocks * 2;
        ahead[j] = quad < 2 * a.blocks ? load_stream(codes + quad) : Int4{};
      } else {
        ahead[j] = __builtin_bit_cast(Int4, F32::input(a, static_cast<uint32_t>(row), static_cast<uint32_t>(quad)));
      }
    });
  }
  GPU_DEVICE void store(const Shared<kRows>& shared, int turn) const {
    for_mine<kRows * kQuads>([&](int j, int i) { shared.at(turn, i / kQuads, i % kQuads) = ahead[j]; });
  }

  Int4 ahead[share(kRows * kQuads)] = {};
};

// The scales of both: [kTurns][blocks of a step][rows] in shared memory.
template <typename Scale, int kRows, int kColumns>
struct Scales {
  static constexpr int kBlocks = 2;

  GPU_DEVICE void load(const Linear& a, int n, int first_row, int first_column, int step) {
    for_mine<kRows * kBlocks>([&](int j, int i) {
      const int row = first_row + i / kBlocks, block = step * kBlocks + i % kBlocks;
      w[j] = Scale::load(a, row < a.rows ? row : a.rows - 1,
                         static_cast<uint32_t>(block < a.blocks ? block : a.blocks - 1));
    });
    for_mine<kColumns * kBlocks>([&](int j, int i) {
      const int row = first_column + i / kBlocks, block = step * kBlocks + i % kBlocks;
      // A block beyond the last counts for nothing.
      x[j] =
          block < a.blocks ? a.x_scales[static_cast<int64_t>(row < n ? row : n - 1) * a.blocks + block] : InputScale{};
    });
  }
  GPU_DEVICE void store(Factors* shared_w, InputScale* shared_x, int step) const {
    const int turn = step % kTurns * kBlocks;
    for_mine<kRows * kBlocks>([&](int j, int i) {
      const int block = i % kBlocks;
      shared_w[(turn + block) * kRows + i / kBlocks] =
          Scale::factors(w[j], static_cast<uint32_t>(step * kBlocks + block));
    });
    for_mine<kColumns * kBlocks>([&](int j, int i) { shared_x[(turn + i % kBlocks) * kColumns + i / kBlocks] = x[j]; });
  }

  typename Scale::Raw w[share(kRows * kBlocks)] = {};
  InputScale x[share(kColumns * kBlocks)] = {};
};

// What a thread adds up: its rows of w times its columns of a tile.
template <typename Sum, int kRows, int kColumns>
struct Part {
  static constexpr int kR = kRows / kAlongRows, kC = kColumns / kAlongColumns;

  GPU_DEVICE static int row(int r) { return thread() % kAlongRows + kAlongRows * r; }
  GPU_DEVICE static int column(int c) { return thread() / kAlongRows + kAlongColumns * c; }
  // Adds what one quad of each row gives.
  GPU_DEVICE void add(const Shared<kRows>& w, const Shared<kColumns>& x, int turn, int quad) {
    Int4 mine[kR];
    GPU_UNROLL
    for (int r = 0; r < kR; ++r) mine[r] = w.at(turn, row(r), quad);
    GPU_UNROLL
    for (int c = 0; c < kC; ++c) {
      const Int4 other = x.at(turn, column(c), quad);
      GPU_UNROLL
      for (int r = 0; r < kR; ++r) sums[r][c] = meet(mine[r], other, sums[r][c]);
    }
  }
  GPU_DEVICE static int meet(const Int4& w, const Int4& x, int sum) {
    GPU_UNROLL
    for (int k = 0; k < 4; ++k) sum = dot4(w.v[k], x.v[k], sum);
    return sum;
  }
  GPU_DEVICE static float meet(const Int4& w, const Int4& x, float sum) {
    const auto floats = __builtin_bit_cast(Float4, w), others = __builtin_bit_cast(Float4, x);
    GPU_UNROLL
    for (int k = 0; k < 4; ++k) sum = multiply_add(floats.v[k], others.v[k], sum);
    return sum;
  }

  Sum sums[kR][kC] = {};
};

template <typename Form, int kRows, int kColumns>
GPU_DEVICE void gemm(const Linear& a, int n) {
  GPU_SHARED(Int4, shared_w, kTurns * kRows * kApart);
  GPU_SHARED(Int4, shared_x, kTurns * kColumns * kApart);
  const Shared<kRows> ws{shared_w};
  const Shared<kColumns> xs{shared_x};
  Weights<Form, kRows> w;
  Inputs<Form::kCodes, kColumns> x;
  Part<float, kRows, kColumns> part;
  const int first_row = block_y() * kRows, first_column = block_x() * kColumns;
  const int chunks = Weights<Form, kRows>::kChunks, steps = (a.chunks + chunks - 1) / chunks;

  if constexpr (Form::kCodes) {
    using Scaled = Scales<typename Form::Scaling, kRows, kColumns>;
    constexpr int kBlocks = Scaled::kBlocks;
    GPU_SHARED(Factors, factors, kTurns * kBlocks * kRows);
    GPU_SHARED(InputScale, x_scales, kTurns * kBlocks * kColumns);
    Scaled scales;
    w.load(a, first_row, 0);
    x.load(a, n, first_column, 0);
    scales.load(a, n, first_row, first_column, 0);
    for (int step = 0; step < steps; ++step) {
      const int turn = step % kTurns;
      w.store(ws, turn);
      x.store(xs, turn);
      scales.store(factors, x_scales, step);
      barrier();
      if (step + 1 < steps) {
        w.load(a, first_row, step + 1);
        x.load(a, n, first_column, step + 1);
        scales.load(a, n, first_row, first_column, step + 1);
      }
      // Unrolled, the sums of both blocks would be there at once.
      for (int block = 0; block < kBlocks; ++block) {
        Part<int, kRows, kColumns> dots;
        GPU_UNROLL
        for (int q = 0; q < kQuads / kBlocks; ++q) dots.add(ws, xs, turn, block * (kQuads / kBlocks) + q);
        const Factors* wf = factors + (turn * kBlocks + block) * kRows;
        const InputScale* xf = x_scales + (turn * kBlocks + block) * kColumns;
        GPU_UNROLL
        for (int c = 0; c < part.kC; ++c) {
          const InputScale scale = xf[part.column(c)];
          GPU_UNROLL
          for (int r = 0; r < part.kR; ++r)
            part.sums[r][c] = Form::scaled(wf[part.row(r)], scale, dots.sums[r][c], part.sums[r][c]);
        }
      }
    }
  } else {
    w.load(a, first_row, 0);
    x.load(a, n, first_column, 0);
    for (int step = 0; step < steps; ++step) {
      const int turn = step % kTurns;
      w.store(ws, turn);
      x.store(xs, turn);
      barrier();
      if (step + 1 < steps) {
        w.load(a, first_row, step + 1);
        x.load(a, n, first_column, step + 1);
      }
      GPU_UNROLL
      for (int q = 0; q < kQuads; ++q) part.add(ws, xs, turn, q);
    }
  }

  GPU_UNROLL
  for (int r = 0; r < part.kR; ++r) {
    const int out = first_row + part.row(r);
    if (out >= a.rows) continue;
    const float scale = Form::kRowScale ? reinterpret_cast<const float*>(a.scales)[out] : 1.0f;
    GPU_UNROLL
    for (int c = 0; c < part.kC; ++c) {
      const int i = first_column + part.column(c);
      if (i >= n) continue;
      float* y = a.y + i * a.y_stride + out;
      *y = multiply_add(part.sums[r][c], scale, a.add ? *y : 0.0f);
    }
  }
}

}  // namespace

// Three blocks on a multiprocessor leave a thread 168 registers.
#define MOSHI_GEMM_TILE(Form, form, rows, columns) \
  GPU_KERNEL(kGemmThreads, 3) gemm_##form##_##rows##x##columns(Linear a, int n) { gemm<Form, rows, columns>(a, n); }
#define MOSHI_GEMM(Form, form)         \
  MOSHI_GEMM_TILE(Form, form, 64, 64)  \
  MOSHI_GEMM_TILE(Form, form, 32, 128) \
  MOSHI_GEMM_TILE(Form, form, 32, 32)
MOSHI_LINEAR_FORMS(MOSHI_GEMM)

}  // namespace moshi
