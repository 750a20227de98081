// Rows of tables by id: y [n, dim] (+)= row ids[i * id_stride] of a table [entries, dim] whose rows are row_bytes
// apart. An id outside of the table stands for zeros. Grid (any, n).
#include "cuda/kernels/elements.h"

namespace moshi {

namespace {

using namespace gpu;

// How a row's elements become floats.
struct F32 {
  GPU_DEVICE static float load(const char* row, int64_t i) { return reinterpret_cast<const float*>(row)[i]; }
};
struct F16 {
  GPU_DEVICE static float load(const char* row, int64_t i) {
    return half_to_float(reinterpret_cast<const uint16_t*>(row)[i]);
  }
};
struct Bf16 {
  GPU_DEVICE static float load(const char* row, int64_t i) {
    return bf16_to_float(reinterpret_cast<const uint16_t*>(row)[i]);
  }
};
// Blocks of 34 bytes, as in files: nothing wider than their scale is aligned.
struct Q8_0 {
  GPU_DEVICE static float load(const char* row, int64_t i) {
    const char* block = row + i / 32 * 34;
    const auto code = static_cast<int8_t>(block[2 + i % 32]);
    return half_to_float(*reinterpret_cast<const uint16_t*>(block)) * static_cast<float>(code);
  }
};

template <typename Element>
GPU_DEVICE void embed(const char* table, int64_t row_bytes, int32_t entries, const int32_t* ids, int64_t id_stride,
                      float* y, int64_t dim, bool add) {
  const int32_t id = ids[block_y() * id_stride];
  const bool present = id >= 0 && id < entries;
  if (!present && add) return;
  const char* row = table + id * row_bytes;
  y += block_y() * dim;
  for (int64_t i = first(); i < dim; i += step()) y[i] = (add ? y[i] : 0.0f) + (present ? Element::load(row, i) : 0.0f);
}

}  // namespace

#define MOSHI_EMBED(Element, element)                                                                           \
  GPU_KERNEL(1024)                                                                                              \
  embed_##element(const char* table, int64_t row_bytes, int32_t entries, const int32_t* ids, int64_t id_stride, \
                  float* y, int64_t dim, bool add) {                                                            \
    embed<Element>(table, row_bytes, entries, ids, id_stride, y, dim, add);                                     \
  }
MOSHI_EMBED(F32, f32)
MOSHI_EMBED(F16, f16)
MOSHI_EMBED(Bf16, bf16)
MOSHI_EMBED(Q8_0, q8)

// Zeroes y [n, dim] where ids[i * id_stride] is no entry of any table. Grid (any, n).
GPU_KERNEL(1024) clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t dim) {
  if (ids[block_y() * id_stride] >= 0) return;
  y += block_y() * dim;
  for (int64_t i = first(); i < dim; i += step()) y[i] = 0;
}

}  // namespace moshi
