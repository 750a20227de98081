// Rows of tables by id, embed.h says of which. Grid (any, n).
#include "cuda/kernels/embed.h"

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

constexpr int kAhead = 8;  // tables whose loads are in flight

template <typename Element>
GPU_DEVICE void embed(const Embed& a) {
  const int32_t* ids = a.ids + block_y() * a.id_stride;
  float* y = a.y + block_y() * a.dim;
  for (int64_t i = first(); i < a.dim; i += step()) {
    float sum = a.add ? y[i] : 0.0f;
    for (int k = 0; k < a.count; k += kAhead) {
      float values[kAhead];
      bool present[kAhead];
      GPU_UNROLL
      for (int n = 0; n < kAhead; ++n) {
        present[n] = k + n < a.count;
        // What does not exist is looked at as what is there, and not used.
        const EmbedTable& table = a.tables[present[n] ? k + n : k];
        const int32_t id = ids[table.place];
        present[n] = present[n] && id >= 0 && id < table.entries;
        values[n] = present[n] ? Element::load(table.data + id * table.row_bytes, i) : 0;
      }
      GPU_UNROLL
      for (int n = 0; n < kAhead; ++n) sum = present[n] ? sum + values[n] : sum;
    }
    y[i] = sum;
  }
}

}  // namespace

#define MOSHI_EMBED(Element, element) \
  GPU_KERNEL(1024) embed_##element(Embed a) { embed<Element>(a); }
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
