// What a form of weights means to the kernels that multiply by it. A form has Raw, loaded early; Weights, ready to meet
// several rows of x; Input, a row's part that a chunk meets; kCodes, whether that is whole numbers with scales;
// kRowScale, whether whole rows are scaled.
#pragma once

#include "cuda/gpu.h"
#include "cuda/kernels/linear.h"

// Where kernels are of a form, they are named here: GPU_OF_FORM(q8_0, kernels…). scripts/kernels.mjs makes an image for
// each form of a file that has this word, so that a driver compiles the forms a model has and no others. It then says
// GPU_ALONE for that form and GPU_LEFT_OUT for the others. The host has them all.
#ifdef GPU_FORM_f32
#define GPU_ALONE(...) __VA_ARGS__
#define GPU_LEFT_OUT(...)
#define GPU_OF_FORM(form, ...) GPU_FORM_##form(__VA_ARGS__)
#else
#define GPU_OF_FORM(form, ...) __VA_ARGS__
#endif

namespace moshi::gpu {

// Chunk `chunk` of a row of w.
GPU_DEVICE Int4 load_chunk(const Linear& a, int row, uint32_t chunk) {
  return load_stream(reinterpret_cast<const Int4*>(a.w) + static_cast<int64_t>(row) * a.chunks + chunk);
}

// Weights and x meet as floats.
template <int kOfChunk>
struct Floats {
  static constexpr bool kCodes = false, kRowScale = false;
  static constexpr int kColumns = kOfChunk;
  using Raw = Int4;
  struct Weights {
    float v[kColumns];
  };
  using Input = Weights;

  GPU_DEVICE static Raw load(const Linear& a, int row, uint32_t chunk) { return load_chunk(a, row, chunk); }
  GPU_DEVICE static Input input(const Linear& a, uint32_t i, uint32_t chunk) {
    const int column = static_cast<int>(kColumns * chunk);
    const float* x = a.x + i * a.x_stride + column;
    Input in;
    if (column + kColumns <= a.cols && reinterpret_cast<uintptr_t>(x) % 16 == 0) {
      GPU_UNROLL
      for (int j = 0; j < kColumns; j += 4) {
        const Float4 four = *reinterpret_cast<const Float4*>(x + j);
        GPU_UNROLL
        for (int k = 0; k < 4; ++k) in.v[j + k] = four.v[k];
      }
    } else {
      GPU_UNROLL
      for (int j = 0; j < kColumns; ++j) in.v[j] = column + j < a.cols ? x[j] : 0;
    }
    return in;
  }
  GPU_DEVICE static float meet(const Weights& w, const Input& x, float sum) {
    GPU_UNROLL
    for (int j = 0; j < kColumns; ++j) sum = multiply_add(w.v[j], x.v[j], sum);
    return sum;
  }
};

struct F32 : Floats<4> {
  GPU_DEVICE static Weights ready(const Raw& raw, uint32_t) { return __builtin_bit_cast(Weights, raw); }
};
struct F16 : Floats<8> {
  GPU_DEVICE static Weights ready(const Raw& raw, uint32_t) {
    Weights w;
    GPU_UNROLL
    for (int j = 0; j < 8; ++j) w.v[j] = half_to_float(static_cast<uint16_t>(raw.v[j / 2] >> j % 2 * 16));
    return w;
  }
};
struct BF16 : Floats<8> {
  GPU_DEVICE static Weights ready(const Raw& raw, uint32_t) {
    Weights w;
    GPU_UNROLL
    for (int j = 0; j < 8; ++j) w.v[j] = bf16_to_float(static_cast<uint16_t>(raw.v[j / 2] >> j % 2 * 16));
    return w;
  }
};

struct alignas(8) Factors {
  float scale, offset;
};

// Codes: Scale says where a chunk's scale lies and what its values are, scale * code + offset.
template <int kOfChunk, typename Scale>
struct Coded {
  static constexpr bool kCodes = true, kRowScale = Scale::kRowScale;
  static constexpr int kColumns = kOfChunk;
  using Scaling = Scale;
  struct Raw {
    Int4 codes;
    typename Scale::Raw scale;
  };
  struct Weights {
    int codes[kColumns / 4];
    Factors factors;
  };
  struct Input {
    Int4 codes[kColumns / 16];
    InputScale scale;
  };

  GPU_DEVICE static Raw load(const Linear& a, int row, uint32_t chunk) {
    return {load_chunk(a, row, chunk), Scale::load(a, row, chunk * kColumns / 32)};
  }
  // Four codes a word, in the order of columns.
  GPU_DEVICE static void unpack(const Int4& chunk, int (&codes)[kColumns / 4]) {
    GPU_UNROLL
    for (int j = 0; j < 4; ++j) {
      if constexpr (kColumns == 16) {
        codes[j] = chunk.v[j];
      } else {
        const auto both = static_cast<uint32_t>(chunk.v[j]);
        codes[j] = static_cast<int>(Scale::kHigh ? both << 4 & 0xf0f0f0f0u : both & 0x0f0f0f0fu);
        codes[4 + j] = static_cast<int>(Scale::kHigh ? both & 0xf0f0f0f0u : both >> 4 & 0x0f0f0f0fu);
      }
    }
  }
  GPU_DEVICE static Weights ready(const Raw& raw, uint32_t chunk) {
    Weights w;
    unpack(raw.codes, w.codes);
    w.factors = Scale::factors(raw.scale, chunk * kColumns / 32);
    // Two chunks of 16 share a block and its sum: the first has it.
    if (kColumns == 16 && chunk % 2) w.factors.offset = 0;
    return w;
  }
  GPU_DEVICE static Input input(const Linear& a, uint32_t i, uint32_t chunk) {
    const uint32_t first = i * a.blocks;
    const auto* codes = reinterpret_cast<const Int4*>(a.codes) + (2 * first + chunk * (kColumns / 16));
    Input in;
    GPU_UNROLL
    for (int j = 0; j < kColumns / 16; ++j) in.codes[j] = codes[j];
    in.scale = a.x_scales[first + chunk * kColumns / 32];
    return in;
  }
  GPU_DEVICE static float meet(const Weights& w, const Input& x, float sum) {
    int dot = 0;
    GPU_UNROLL
    for (int j = 0; j < kColumns / 4; ++j) dot = dot4(w.codes[j], x.codes[j / 4].v[j % 4], dot);
    return scaled(w.factors, x.scale, dot, sum);
  }
  // Adds what codes of one block, multiplied, stand for.
  GPU_DEVICE static float scaled(const Factors& w, const InputScale& x, int dot, float sum) {
    sum = multiply_add(Scale::kRowScale ? x.scale : w.scale * x.scale, static_cast<float>(dot), sum);
    return Scale::kOffset ? multiply_add(w.offset, x.sum, sum) : sum;
  }
};

// One half a block.
struct HalfScale {
  static constexpr bool kRowScale = false, kOffset = false;
  using Raw = uint16_t;
  GPU_DEVICE static Raw load(const Linear& a, int row, uint32_t block) {
    return reinterpret_cast<const uint16_t*>(a.scales)[static_cast<int64_t>(row) * a.blocks + block];
  }
  GPU_DEVICE static Factors factors(Raw scale, uint32_t) { return {half_to_float(scale), 0}; }
};

// Codes of 4 bits that are signed: they stand in the high half of a byte, as 16 times their value.
struct HighHalfScale : HalfScale {
  static constexpr bool kHigh = true;
  GPU_DEVICE static Factors factors(Raw scale, uint32_t) { return {half_to_float(scale) * 0.0625f, 0}; }
};

// One float a row, at the very end.
struct RowScale {
  static constexpr bool kRowScale = true, kOffset = false;
  struct Raw {};
  GPU_DEVICE static Raw load(const Linear&, int, uint32_t) { return {}; }
  GPU_DEVICE static Factors factors(Raw, uint32_t) { return {1, 0}; }
};

// Two floats a group of blocks.
struct GroupScale {
  static constexpr bool kRowScale = false, kOffset = true, kHigh = false;
  using Raw = Factors;
  GPU_DEVICE static Raw load(const Linear& a, int row, uint32_t block) {
    // Without a division: from the middle of a block, rounding cannot reach the next group.
    const int group = static_cast<int>((static_cast<float>(block) + 0.5f) * a.group_share);
    return load_stream(reinterpret_cast<const Factors*>(a.scales) + static_cast<int64_t>(row) * a.groups + group);
  }
  GPU_DEVICE static Factors factors(const Raw& raw, uint32_t) { return raw; }
};

// Two halves and eight pairs of six bits for eight blocks.
struct PairScale {
  static constexpr bool kRowScale = false, kOffset = true, kHigh = false;
  using Raw = Int4;
  GPU_DEVICE static Raw load(const Linear& a, int row, uint32_t block) {
    const int heads = (a.blocks + 7) / 8;
    return load_stream(reinterpret_cast<const Int4*>(a.scales) + static_cast<int64_t>(row) * heads + block / 8);
  }
  GPU_DEVICE static Factors factors(const Raw& raw, uint32_t block) {
    const auto both = static_cast<uint32_t>(raw.v[0]);
    const auto low = static_cast<uint32_t>(block & 4 ? raw.v[2] : raw.v[1]) >> block % 4 * 8;
    const auto high = static_cast<uint32_t>(raw.v[3]) >> block % 8 * 4;
    const auto scale = static_cast<int>(low & 63u), minimum = static_cast<int>((low >> 6 & 3u) | (high & 15u) << 2);
    return {half_to_float(static_cast<uint16_t>(both)) * static_cast<float>(scale),
            -half_to_float(static_cast<uint16_t>(both >> 16)) * static_cast<float>(minimum)};
  }
};

using Q8_0 = Coded<16, HalfScale>;
using I8 = Coded<16, RowScale>;
using U8 = Coded<16, GroupScale>;
using Q4_0 = Coded<32, HighHalfScale>;
using U4 = Coded<32, GroupScale>;
using Q4_K = Coded<32, PairScale>;

}  // namespace moshi::gpu
