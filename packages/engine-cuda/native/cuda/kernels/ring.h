// Where a ring keeps one head of one position, see model/kv_cache.h. Shape has layer, layers, kv_heads, head_dim, page
// and capacity; side 0 holds keys, side 1 values; an element takes kBytes.
#pragma once

#include "cuda/gpu.h"
#include "model/device_data.h"

namespace moshi::gpu {

// [head_dim] elements, out of [page, head_dim] of each head of each layer.
template <int kBytes, typename Shape>
GPU_DEVICE const char* ring_data(const Shape& a, const RowData& row, int head, int position, int side) {
  const int at = position % a.capacity;
  const int64_t list = (static_cast<int64_t>(a.layer) * 2 + side) * a.kv_heads + head;
  return row.pages[at / a.page] + (list * a.page + at % a.page) * a.head_dim * kBytes;
}

// Its scale; they lie behind all layers, [page] of each head.
template <int kBytes, typename Shape>
GPU_DEVICE const float* ring_scale(const Shape& a, const RowData& row, int head, int position, int side) {
  const int at = position % a.capacity;
  const int64_t lists = static_cast<int64_t>(a.layers) * 2 * a.kv_heads;
  const int64_t list = (static_cast<int64_t>(a.layer) * 2 + side) * a.kv_heads + head;
  const char* scales = row.pages[at / a.page] + lists * a.page * a.head_dim * kBytes;
  return reinterpret_cast<const float*>(scales) + list * a.page + at % a.page;
}

}  // namespace moshi::gpu
