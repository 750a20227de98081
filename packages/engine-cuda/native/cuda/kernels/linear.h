// What linear layers take; the same bytes on host and GPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/activation.h"

namespace moshi {

// How weights lie in the GPU's memory; cuda/packed.h says what that means.
enum class LinearForm : uint8_t { F32, F16, BF16, Q8_0, I8, U8, Q4_0, U4, Q4_K };

constexpr bool has_codes(LinearForm form) {
  return form >= LinearForm::Q8_0;
}

// Whether a layer's sums may end as LinearEnd of model/backend.h says: the codec's, which run in floats.
constexpr bool has_end(LinearForm form) {
  return form == LinearForm::F32 || form == LinearForm::F16;
}

// In that order, each with what its kernels are called by: linear_f32_1 … linear_q4_k_8, for so many rows of x.
#define MOSHI_LINEAR_FORMS(EACH) \
  MOSHI_LINEAR_FLOATS(EACH)      \
  MOSHI_LINEAR_CODES(EACH)
#define MOSHI_LINEAR_FLOATS(EACH) \
  EACH(F32, f32)                  \
  EACH(F16, f16)                  \
  EACH(BF16, bf16)
#define MOSHI_LINEAR_CODES(EACH) \
  EACH(Q8_0, q8_0)               \
  EACH(I8, i8)                   \
  EACH(U8, u8)                   \
  EACH(Q4_0, q4_0)               \
  EACH(U4, u4)                   \
  EACH(Q4_K, q4_k)

// x ≈ scale * code over 32 columns.
struct alignas(8) InputScale {
  float scale;
  float sum;  // scale times the sum of the codes
};

struct Linear {
  const char* w;       // chunks of 16 bytes, row by row
  const char* scales;  // of the weights
  // Of the input, floats for float weights, codes for the others.
  const float* x;              // [n, x_stride]; rows may overlap
  const int8_t* codes;         // [n, 32 blocks], 16-byte aligned
  const InputScale* x_scales;  // [n, blocks]
  float* y;                    // [n, y_stride]
  int64_t x_stride, y_stride;
  int32_t rows, cols, blocks;  // blocks of 32 columns
  int32_t chunks, groups;      // of a row: chunks, and U8's and U4's scales
  float group_share;           // groups / blocks
  int32_t split;               // warps that share a row: 1, 2 or 4
  bool add;                    // to what y holds
  // Beside that, for forms that have an end.
  const float *bias = nullptr, *gain = nullptr;  // [rows]: what is added to a sum, and what it is then multiplied with
  Activation after = Activation::Identity;
  float alpha = 1;  // ELU's
  // Where several blocks share the columns of a tile, see cuda/kernels/gemm.h: what they give each other, and how many
  // have come, [tiles] of zeros that are zeros again in the end.
  float* parts = nullptr;
  int32_t* arrived = nullptr;
};

inline constexpr int kLinearMost = 8;   // rows of x in one launch
inline constexpr int kLinearWarps = 4;  // of a block

// Rows of the matrix that a warp takes together: what it reads of x serves all of them.
constexpr int linear_rows_at_once(int n) {
  return n == 1 ? 1 : 2;
}
// Warps to a row: more where rows alone would leave a GPU idle, as long as each has 16 bytes for all its lanes. Never a
// matter of n, since it decides in which order a row is summed.
constexpr int linear_split(int rows, int chunks) {
  int split = 1;
  while (split < kLinearWarps && rows * split < 4096 && chunks >= 64 * split) split *= 2;
  return split;
}
// What the kernel for n rows of x is called.
inline const char* linear_name(LinearForm form, int n) {
#define MOSHI_LINEAR(Form, form)                                                           \
  {"linear_" #form "_1", "linear_" #form "_2", "linear_" #form "_3", "linear_" #form "_4", \
   "linear_" #form "_5", "linear_" #form "_6", "linear_" #form "_7", "linear_" #form "_8"},
  static constexpr const char* kNames[][kLinearMost] = {MOSHI_LINEAR_FORMS(MOSHI_LINEAR)};
#undef MOSHI_LINEAR
  return kNames[static_cast<size_t>(form)][n - 1];
}
// Blocks of a launch, along x.
constexpr int linear_blocks(int rows, int split, int n) {
  const int of_block = kLinearWarps / split * linear_rows_at_once(n);
  return (rows + of_block - 1) / of_block;
}

}  // namespace moshi
