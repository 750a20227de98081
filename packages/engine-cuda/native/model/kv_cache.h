// Keys and values of one session for all layers of one transformer: a ring over positions, in pages that are taken as
// the conversation grows.
#pragma once

#include <string>
#include <vector>

#include "model/backend.h"

namespace moshi {

// Q8: whole numbers with one scale for a head of a position.
enum class KvType : uint8_t { F32, F16, Q8 };

// Throws Error(kBadOption) for a name that is none of "f32", "f16" and "q8".
KvType parse_kv_type(const std::string& name);
const char* kv_type_name(KvType type);

class KvCache {
 public:
  // Positions in a page, 20 seconds. A head's positions lie together in it, long enough to be read at full speed; the
  // system backs only what is written, about 8 MB at a time for 7B in F16.
  static constexpr int64_t kPage = 256;

  KvCache() = default;
  KvCache(KvType type, int layers, int64_t capacity, int heads, int64_t head_dim);

  KvType type() const { return type_; }
  int layers() const { return layers_; }
  int heads() const { return heads_; }
  int64_t head_dim() const { return head_dim_; }
  int64_t width() const { return heads_ * head_dim_; }
  int64_t capacity() const { return capacity_; }
  // Positions in a page of this ring.
  int64_t page() const { return page_; }
  int64_t pages() const { return (capacity_ + page_ - 1) / page_; }
  // Bytes of one page.
  size_t page_bytes() const;

  // Makes sure that the pages of ring rows [0, rows) are there.
  void reserve(Backend& backend, int64_t rows);
  // Where the pages are, [pages] on the device.
  const char* const* table() const { return reinterpret_cast<const char* const*>(table_.data()); }
  // [page, head_dim] of one head: position p is row p % capacity of the ring, page by page.
  char* keys(int64_t page, int layer, int head) const { return part(page, layer, 0, head); }
  char* values(int64_t page, int layer, int head) const { return part(page, layer, 1, head); }
  // Q8: [page] of one head.
  float* key_scales(int64_t page, int layer, int head) const { return scales(page, layer, 0, head); }
  float* value_scales(int64_t page, int layer, int head) const { return scales(page, layer, 1, head); }

  // Ring rows [0, rows), packed page by page: all heads' keys and values, then all their scales.
  struct Saved {
    int64_t rows = 0;
    std::vector<Buffer> pages;
    size_t bytes() const {
      size_t total = 0;
      for (const Buffer& page : pages) total += page.count() * sizeof(float);
      return total;
    }
  };
  Saved save(Backend& backend, int64_t rows) const;
  void restore(Backend& backend, const Saved& saved);

  // For benches: rows [1, rows) of the ring become copies of row 0.
  void repeat(Backend& backend, int64_t rows);

  // For checks: keys or values of a layer as floats, ring rows [0, rows) of [width]; zeros
  // where no page is yet.
  std::vector<float> read(Backend& backend, int layer, bool values, int64_t rows) const;

 private:
  // Of all lists of a page, a layer's keys or values of one head each.
  int64_t lists() const { return int64_t{layers_} * 2 * heads_; }
  int64_t row_bytes() const { return head_dim_ * element_bytes(); }
  // Calls copy(place in the page, distance from list to list, place in what is saved, the same there, bytes of a list).
  template <typename Copy>
  void each_part(int64_t page, int64_t used, char* saved, Copy copy) const;
  int64_t element_bytes() const { return type_ == KvType::F32 ? 4 : type_ == KvType::F16 ? 2 : 1; }
  char* part(int64_t page, int layer, int side, int head) const {
    return reinterpret_cast<char*>(memory_[static_cast<size_t>(page)].data()) +
           ((int64_t{layer} * 2 + side) * heads_ + head) * page_ * head_dim_ * element_bytes();
  }
  float* scales(int64_t page, int layer, int side, int head) const {
    return reinterpret_cast<float*>(part(page, layers_, 0, 0)) + ((int64_t{layer} * 2 + side) * heads_ + head) * page_;
  }

  KvType type_ = KvType::F32;
  int layers_ = 0, heads_ = 0;
  int64_t head_dim_ = 0, capacity_ = 0, page_ = 1;
  std::vector<Buffer> memory_;
  Buffer table_;
};

}  // namespace moshi
