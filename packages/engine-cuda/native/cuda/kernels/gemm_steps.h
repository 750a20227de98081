// How tiles of linear layers for many rows come to shared memory step by step, on any GPU. A step brings 16 words of
// each row, w unpacked: 16 floats, or 64 codes, which are two blocks of scales. Global memory is read a step ahead into
// registers, and shared memory written in turns, so that a step needs one barrier.
#pragma once

#include "cuda/gpu.h"
#include "cuda/kernels/forms.h"
#include "cuda/kernels/gemm.h"

namespace moshi::gpu {

constexpr int kQuads = 4;           // of words, in a row and step
constexpr int kApart = kQuads + 1;  // between rows, since whole powers of two would share banks
constexpr int kTurns = 2;

// What each thread has of so many things.
template <int kCount>
constexpr int kShare = (kCount + kGemmThreads - 1) / kGemmThreads;
// Calls each(j, i) for the things of this thread: thing i is its j-th.
template <int kCount, typename Each>
GPU_DEVICE void for_mine(Each each) {
  GPU_UNROLL
  for (int j = 0; j < kShare<kCount>; ++j) {
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

  Int4 ahead[kShare<kRows * kChunks>] = {};
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

  Int4 ahead[kShare<kRows * kQuads>] = {};
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

  typename Scale::Raw w[kShare<kRows * kBlocks>] = {};
  InputScale x[kShare<kColumns * kBlocks>] = {};
};

// Calls multiply(w, x, turn, block, factors, scales) for every block of a step, once it is in shared memory with the
// factors of w [kRows] and the scales of x [kColumns].
template <typename Form, int kRows, int kColumns, typename Multiply>
GPU_DEVICE void for_blocks(const Linear& a, int n, int first_row, int first_column, Multiply multiply) {
  using Scaled = Scales<typename Form::Scaling, kRows, kColumns>;
  constexpr int kBlocks = Scaled::kBlocks;
  GPU_SHARED(Int4, quads_w, kTurns * kRows * kApart);
  GPU_SHARED(Int4, quads_x, kTurns * kColumns * kApart);
  GPU_SHARED(Factors, factors, kTurns * kBlocks * kRows);
  GPU_SHARED(InputScale, x_scales, kTurns * kBlocks * kColumns);
  const Shared<kRows> shared_w{quads_w};
  const Shared<kColumns> shared_x{quads_x};
  Weights<Form, kRows> w;
  Inputs<true, kColumns> x;
  Scaled scales;
  w.load(a, first_row, 0);
  x.load(a, n, first_column, 0);
  scales.load(a, n, first_row, first_column, 0);
  const int steps = (a.blocks + kBlocks - 1) / kBlocks;
  for (int step = 0; step < steps; ++step) {
    const int turn = step % kTurns;
    w.store(shared_w, turn);
    x.store(shared_x, turn);
    scales.store(factors, x_scales, step);
    barrier();
    if (step + 1 < steps) {
      w.load(a, first_row, step + 1);
      x.load(a, n, first_column, step + 1);
      scales.load(a, n, first_row, first_column, step + 1);
    }
    // Unrolled, the sums of both blocks would be there at once.
    for (int block = 0; block < kBlocks; ++block) {
      const int at = turn * kBlocks + block;
      multiply(shared_w, shared_x, turn, block, factors + at * kRows, x_scales + at * kColumns);
    }
  }
}

// The same for float weights: multiply(w, x, turn, step) for every step [begin, end).
template <typename Form, int kRows, int kColumns, typename Multiply>
GPU_DEVICE void for_steps(const Linear& a, int n, int first_row, int first_column, int begin, int end,
                          Multiply multiply) {
  GPU_SHARED(Int4, quads_w, kTurns * kRows * kApart);
  GPU_SHARED(Int4, quads_x, kTurns * kColumns * kApart);
  const Shared<kRows> shared_w{quads_w};
  const Shared<kColumns> shared_x{quads_x};
  Weights<Form, kRows> w;
  Inputs<false, kColumns> x;
  w.load(a, first_row, begin);
  x.load(a, n, first_column, begin);
  for (int step = begin; step < end; ++step) {
    const int turn = step % kTurns;
    w.store(shared_w, turn);
    x.store(shared_x, turn);
    barrier();
    if (step + 1 < end) {
      w.load(a, first_row, step + 1);
      x.load(a, n, first_column, step + 1);
    }
    multiply(shared_w, shared_x, turn, step);
  }
}

}  // namespace moshi::gpu
