// Linear layers for few rows of x: y [n, y_stride] (+)= x [n] times w [rows, cols] of cuda/packed.h, n = 1 … 8.
// Grid (linear_blocks(rows, split, n)), blocks of 4 warps, of which `split` share the rows of one group: one row of w
// where n is 1, else two. A lane takes a chunk of 16 bytes of each row, then those 32 split chunks further.
//
// x is read where it lies, not copied to shared memory: all warps of a multiprocessor want the same few kB, so the
// first cache has them, no block waits for a copy, and 8 rows of 11264 columns would not fit beside each other. Weights
// are streamed past that cache.
//
// A sum's order depends on rows and cols alone: n only says how many sums a lane carries side by side. Products are
// added by multiply_add lest the compiler fuse some in one kernel and not in another.
#include "cuda/kernels/linear.h"

#include "cuda/gpu.h"

namespace moshi {

namespace {

using namespace gpu;

// Chunk `chunk` of a row of w.
GPU_DEVICE Int4 load_chunk(const Linear& a, int row, uint32_t chunk) {
  return load_stream(reinterpret_cast<const Int4*>(a.w) + static_cast<int64_t>(row) * a.chunks + chunk);
}

// What a form of weights has: Raw, loaded early; Weights, ready to meet several rows of x; Input, a row's part that a
// chunk meets; kRowScale, whether whole rows are scaled.
template <int kColumns>
struct Floats {
  static constexpr bool kRowScale = false;
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

struct Factors {
  float scale, offset;
};

// Codes: Scale says where a chunk's scale lies and what its values are, scale * code + offset.
template <int kColumns, typename Scale>
struct Coded {
  static constexpr bool kRowScale = Scale::kRowScale;
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
  GPU_DEVICE static Weights ready(const Raw& raw, uint32_t chunk) {
    Weights w;
    GPU_UNROLL
    for (int j = 0; j < 4; ++j) {
      if constexpr (kColumns == 16) {
        w.codes[j] = raw.codes.v[j];
      } else {
        const auto both = static_cast<uint32_t>(raw.codes.v[j]);
        w.codes[j] = static_cast<int>(Scale::kHigh ? both << 4 & 0xf0f0f0f0u : both & 0x0f0f0f0fu);
        w.codes[4 + j] = static_cast<int>(Scale::kHigh ? both & 0xf0f0f0f0u : both >> 4 & 0x0f0f0f0fu);
      }
    }
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
    sum =
        multiply_add(Scale::kRowScale ? x.scale.scale : w.factors.scale * x.scale.scale, static_cast<float>(dot), sum);
    return Scale::kOffset ? multiply_add(w.factors.offset, x.scale.sum, sum) : sum;
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

constexpr int power_of_two(int least) {
  int power = 1;
  while (power < least) power *= 2;
  return power;
}

// What a warp does at once for so many rows of x.
template <int kN>
struct Share {
  static constexpr int kRows = linear_rows_at_once(kN);         // of w
  static constexpr int kSums = power_of_two(kRows * kN);        // of them both
  static constexpr int kAhead = kN == 1 ? 4 : kN <= 4 ? 2 : 1;  // chunks of a row whose loads are in flight
  static constexpr int kLanes = kWarp / kSums;                  // that hold the same sum in the end
};

// The warp's sum of value l kCount / 32 in lane l, added up as warp_sum does, with as many shuffles as values instead
// of five times as many: in each step half of the lanes hand over half of the values and get the other half.
template <int kCount, int kBit = kWarp / 2, int kSize>
GPU_DEVICE float warp_sums(float (&values)[kSize]) {
  if constexpr (kBit == 0) {
    return values[0];
  } else if constexpr (kCount == 1) {
    values[0] += shuffle_xor(kAll, values[0], kBit);
    return warp_sums<1, kBit / 2>(values);
  } else {
    constexpr int kHalf = kCount / 2;
    const bool upper = lane() & kBit;
    GPU_UNROLL
    for (int j = 0; j < kHalf; ++j) {
      const float kept = upper ? values[j + kHalf] : values[j], given = upper ? values[j] : values[j + kHalf];
      values[j] = kept + shuffle_xor(kAll, given, kBit);
    }
    return warp_sums<kHalf, kBit / 2>(values);
  }
}

template <typename Form, int kN>
GPU_DEVICE void linear(const Linear& a) {
  constexpr int kRows = Share<kN>::kRows, kSums = Share<kN>::kSums;
  constexpr int kAhead = Share<kN>::kAhead, kLanes = Share<kN>::kLanes;
  GPU_SHARED(float, parts, kLinearWarps* kSums);

  const int groups = kLinearWarps / a.split;
  const int row = (block_x() * groups + warp() / a.split) * kRows;
  const auto chunks = static_cast<uint32_t>(a.chunks), step = static_cast<uint32_t>(kWarp * a.split);
  float sums[kSums] = {};
  for (auto chunk = static_cast<uint32_t>(warp() % a.split * kWarp + lane()); chunk < chunks; chunk += kAhead * step) {
    typename Form::Raw raw[kAhead][kRows];
    GPU_UNROLL
    for (int t = 0; t < kAhead; ++t) {
      // What does not exist is loaded as what is there, and not used.
      const uint32_t at = chunk + t * step < chunks ? chunk + t * step : chunk;
      GPU_UNROLL
      for (int r = 0; r < kRows; ++r) raw[t][r] = Form::load(a, row + r < a.rows ? row + r : a.rows - 1, at);
    }
    GPU_UNROLL
    for (int t = 0; t < kAhead; ++t) {
      const uint32_t at = chunk + t * step;
      if (at >= chunks) continue;
      typename Form::Weights weights[kRows];
      GPU_UNROLL
      for (int r = 0; r < kRows; ++r) weights[r] = Form::ready(raw[t][r], at);
      GPU_UNROLL
      for (int i = 0; i < kN; ++i) {
        const typename Form::Input input = Form::input(a, i, at);
        GPU_UNROLL
        for (int r = 0; r < kRows; ++r) sums[r * kN + i] = Form::meet(weights[r], input, sums[r * kN + i]);
      }
    }
  }

  // [warps][kSums]
  const float sum = warp_sums<kSums>(sums);
  if (lane() % kLanes == 0) parts[warp() * kSums + lane() / kLanes] = sum;
  barrier();
  const int group = thread() / (kRows * kN), of_group = thread() % (kRows * kN);
  const int i = of_group % kN, out = (block_x() * groups + group) * kRows + of_group / kN;
  if (group >= groups || out >= a.rows) return;
  float total = 0;
  for (int part = 0; part < a.split; ++part) total += parts[(group * a.split + part) * kSums + of_group];
  float* y = a.y + i * a.y_stride + out;
  const float scale = Form::kRowScale ? reinterpret_cast<const float*>(a.scales)[out] : 1.0f;
  *y = multiply_add(total, scale, a.add ? *y : 0.0f);
}

// Blocks to a multiprocessor: five leave a thread 96 registers, four 128; with fewer the many rows would spill some.
constexpr int linear_residents(int n) {
  return n <= 4 ? 5 : 4;
}

}  // namespace

#define MOSHI_LINEAR_ROWS(Form, form, n) \
  GPU_KERNEL(kLinearWarps * 32, linear_residents(n)) linear_##form##_##n(Linear a) { linear<Form, n>(a); }
#define MOSHI_LINEAR(Form, form)   \
  MOSHI_LINEAR_ROWS(Form, form, 1) \
  MOSHI_LINEAR_ROWS(Form, form, 2) \
  MOSHI_LINEAR_ROWS(Form, form, 3) \
  MOSHI_LINEAR_ROWS(Form, form, 4) \
  MOSHI_LINEAR_ROWS(Form, form, 5) \
  MOSHI_LINEAR_ROWS(Form, form, 6) \
  MOSHI_LINEAR_ROWS(Form, form, 7) \
  MOSHI_LINEAR_ROWS(Form, form, 8)
MOSHI_LINEAR_FORMS(MOSHI_LINEAR)

}  // namespace moshi
