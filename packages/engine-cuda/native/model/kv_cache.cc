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
  if (memory_.size() >= needed) return;
  while (memory_.size() < needed) memory_.push_back(backend.allocate((page_bytes() + 3) / 4));
  if (!table_) table_ = backend.allocate(static_cast<size_t>(pages()) * sizeof(char*) / 4);
  std::vector<const char*> places;
  for (const Buffer& page : memory_) places.push_back(reinterpret_cast<const char*>(page.data()));
  backend.write(reinterpret_cast<const char**>(table_.data()), places.data(), static_cast<int64_t>(places.size()));
}

template <typename Copy>
void KvCache::each_part(int64_t page, int64_t used, char* saved, Copy copy) const {
  const auto width = static_cast<size_t>(used * row_bytes());
  copy(part(page, 0, 0, 0), static_cast<size_t>(page_ * row_bytes()), saved, width, width);
  if (type_ != KvType::Q8) return;
  const auto scale = sizeof(float);
  copy(reinterpret_cast<char*>(scales(page, 0, 0, 0)), static_cast<size_t>(page_) * scale,
       saved + static_cast<size_t>(lists()) * width, static_cast<size_t>(used) * scale,
       static_cast<size_t>(used) * scale);
}

KvCache::Saved KvCache::save(Backend& backend, int64_t rows) const {
  Saved out{std::min(rows, capacity_), {}};
  const int64_t bytes = static_cast<int64_t>(page_bytes()) / page_;
  for (int64_t page = 0; page * page_ < out.rows; ++page) {
    const int64_t used = std::min(page_, out.rows - page * page_);
    out.pages.push_back(backend.allocate(static_cast<size_t>((used * bytes + 3) / 4)));
    each_part(page, used, reinterpret_cast<char*>(out.pages.back().data()),
              [&](const char* from, size_t pitch, char* to, size_t to_pitch, size_t width) {
                backend.copy_rows(to, to_pitch, from, pitch, width, static_cast<size_t>(lists()));
              });
  }
  return out;
}

void KvCache::restore(Backend& backend, const Saved& saved) {
  reserve(backend, saved.rows);
  for (int64_t page = 0; page * page_ < saved.rows; ++page)
    each_part(page, std::min(page_, saved.rows - page * page_),
              reinterpret_cast<char*>(saved.pages[static_cast<size_t>(page)].data()),
              [&](char* to, size_t pitch, const char* from, size_t from_pitch, size_t width) {
                backend.copy_rows(to, pitch, from, from_pitch, width, static_cast<size_t>(lists()));
              });
}

void KvCache::repeat(Backend& backend, int64_t rows) {
  const Saved first = save(backend, 1);
  reserve(backend, rows);
  for (int64_t page = 0; page * page_ < std::min(rows, capacity_); ++page)
    each_part(page, 1, reinterpret_cast<char*>(first.pages.at(0).data()),
              [&](char* to, size_t pitch, const char* from, size_t from_pitch, size_t width) {
                const auto lists = static_cast<size_t>(this->lists());
                const auto all = static_cast<size_t>(std::min(page_, rows - page * page_)) * width;
                backend.copy_rows(to, pitch, from, from_pitch, width, lists);
                // As much again as there is, until all is there.
                for (size_t there = width; there < all; there *= 2)
                  backend.copy_rows(to + there, pitch, to, pitch, std::min(there, all - there), lists);
              });
}

std::vector<float> KvCache::read(Backend& backend, int layer, bool values, int64_t rows) const {
  std::vector<float> out(static_cast<size_t>(rows * width()));
  const int64_t there = std::min(rows, static_cast<int64_t>(memory_.size()) * page_);
  std::vector<char> codes(static_cast<size_t>(page_ * row_bytes()));
  std::vector<float> scale(static_cast<size_t>(page_));
  for (int64_t page = 0; page * page_ < there; ++page)
    for (int head = 0; head < heads_; ++head) {
      backend.read(codes.data(), part(page, layer, values, head), page_ * row_bytes());
      if (type_ == KvType::Q8) backend.read(scale.data(), scales(page, layer, values, head), page_);
      for (int64_t row = page * page_; row < std::min(there, (page + 1) * page_); ++row)
        for (int64_t d = 0; d < head_dim_; ++d) {
          const char* from = codes.data() + row % page_ * row_bytes() + d * element_bytes();
          float value;
          uint16_t half;
          if (type_ == KvType::F32) {
            std::memcpy(&value, from, 4);
          } else if (type_ == KvType::F16) {
            std::memcpy(&half, from, 2);
            value = f16_to_float(half);
          } else {
            value = scale[static_cast<size_t>(row % page_)] * static_cast<float>(static_cast<signed char>(*from));
          }
          out[static_cast<size_t>(row * width() + head * head_dim_ + d)] = value;
        }
    }
  return out;
}

}  // namespace moshi
