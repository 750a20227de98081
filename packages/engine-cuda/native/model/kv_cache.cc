#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace moshi {

namespace {

constexpr const char* kNames[] = {"f32", "f16", "q8"};

}  // namespace

KvType parse_kv_type(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<KvType>(i);
  throw Error(kBadOption, "kv '" + printable(name) + "' is none of f32, f16 and q8");
}

const char* kv_type_name(KvType type) {
  return kNames[static_cast<size_t>(type)];
}

KvCache::KvCache(KvType type, int layers, int64_t capacity, int heads, int64_t head_dim)
    : type_(type),
      layers_(layers),
      heads_(heads),
      head_dim_(head_dim),
      capacity_(capacity),
      page_(std::min(capacity, kPage)) {}

size_t KvCache::page_bytes() const {
  const int64_t heads = int64_t{layers_} * 2 * heads_ * page_;
  return static_cast<size_t>(heads * (head_dim_ * element_bytes() + (type_ == KvType::Q8 ? 4 : 0)));
}

void KvCache::reserve(Backend& backend, int64_t rows) {
  const auto needed = static_cast<size_t>((std::min(rows, capacity_) + page_ - 1) / page_);
  while (memory_.size() < needed) memory_.push_back(backend.allocate((page_bytes() + 3) / 4));
}

// Calls copy(place of a head's rows in its page, place of them in what is saved, bytes) for all that is used of a page.
template <typename Copy>
void KvCache::each_part(int64_t page, int64_t used, char* saved, Copy copy) const {
  const auto bytes = static_cast<size_t>(used * head_dim_ * element_bytes()),
             scale_bytes = static_cast<size_t>(used) * 4;
  for (int layer = 0; layer < layers_; ++layer)
    for (int side = 0; side < 2; ++side)
      for (int head = 0; head < heads_; ++head) {
        copy(part(page, layer, side, head), saved, bytes);
        saved += bytes;
        if (type_ != KvType::Q8) continue;
        copy(reinterpret_cast<char*>(scales(page, layer, side, head)), saved, scale_bytes);
        saved += scale_bytes;
      }
}

KvCache::Saved KvCache::save(Backend& backend, int64_t rows) const {
  Saved out{std::min(rows, capacity_), {}};
  const int64_t row_bytes = static_cast<int64_t>(page_bytes()) / page_;
  for (int64_t page = 0; page * page_ < out.rows; ++page) {
    const int64_t used = std::min(page_, out.rows - page * page_);
    out.pages.push_back(backend.allocate(static_cast<size_t>((used * row_bytes + 3) / 4)));
    each_part(page, used, reinterpret_cast<char*>(out.pages.back().data()),
              [](const char* from, char* to, size_t bytes) { std::memcpy(to, from, bytes); });
  }
  return out;
}

void KvCache::restore(Backend& backend, const Saved& saved) {
  reserve(backend, saved.rows);
  for (int64_t page = 0; page * page_ < saved.rows; ++page)
    each_part(page, std::min(page_, saved.rows - page * page_),
              reinterpret_cast<char*>(saved.pages[static_cast<size_t>(page)].data()),
              [](char* to, const char* from, size_t bytes) { std::memcpy(to, from, bytes); });
}

void KvCache::repeat(Backend& backend, int64_t rows) {
  const Saved first = save(backend, 1);
  reserve(backend, rows);
  for (int64_t page = 0; page * page_ < std::min(rows, capacity_); ++page)
    each_part(page, 1, reinterpret_cast<char*>(first.pages.at(0).data()),
              [&](char* to, const char* from, size_t bytes) {
                for (int64_t row = 0; row < std::min(page_, rows - page * page_); ++row)
                  std::memcpy(to + static_cast<size_t>(row) * bytes, from, bytes);
              });
}

std::vector<float> KvCache::read(int layer, bool values, int64_t rows) const {
  std::vector<float> out(static_cast<size_t>(rows * width()));
  const int64_t there = std::min(rows, static_cast<int64_t>(memory_.size()) * page_);
  for (int64_t row = 0; row < there; ++row)
    for (int head = 0; head < heads_; ++head) {
      const char* from = part(row / page_, layer, values, head) + row % page_ * head_dim_ * element_bytes();
      for (int64_t d = 0; d < head_dim_; ++d) {
        float value;
        uint16_t half;
        if (type_ == KvType::F32) {
          std::memcpy(&value, from + 4 * d, 4);
        } else if (type_ == KvType::F16) {
          std::memcpy(&half, from + 2 * d, 2);
          value = f16_to_float(half);
        } else {
          value = scales(row / page_, layer, values, head)[row % page_] *
                  static_cast<float>(static_cast<signed char>(from[d]));
        }
        out[static_cast<size_t>(row * width() + head * head_dim_ + d)] = value;
      }
    }
  return out;
}

}  // namespace moshi
