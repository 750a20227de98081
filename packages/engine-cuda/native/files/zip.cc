#include "files/zip.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace moshi {

namespace {

constexpr uint64_t kEnd = 22, kEnd64 = 56, kLocator = 20, kEntry = 46, kLocal = 30;
constexpr uint32_t kEndMark = 0x06054b50, kEnd64Mark = 0x06064b50, kLocatorMark = 0x07064b50, kEntryMark = 0x02014b50,
                   kLocalMark = 0x04034b50;
// Real archives have a member a tensor; a listed one takes many times its bytes, which a hostile file must not turn
// into GB.
constexpr uint64_t kMaxDirectory = 16 << 20;

// Little-endian fields of a record that is known to be long enough.
uint64_t field(const std::string& bytes, uint64_t at, int width) {
  uint64_t value = 0;
  for (int i = width - 1; i >= 0; --i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<uint64_t>(i)]);
  return value;
}

std::string read_range(const File& file, uint64_t offset, uint64_t bytes) {
  std::string out(bytes, '\0');
  file.read(offset, out.data(), bytes);
  return out;
}

[[noreturn]] void broken(const File& file, const std::string& what) {
  throw Error(kBadFile, file.path() + ": " + what + "; the archive is broken, download it again");
}

// Replaces the fields that stand at their largest value by those of the zip64 extra field, in the order given.
void widen(const File& file, const std::string& name, const std::string& extra, std::vector<uint64_t*> fields) {
  constexpr uint64_t kElsewhere = 0xFFFFFFFF;
  std::erase_if(fields, [](const uint64_t* f) { return *f != kElsewhere; });
  for (uint64_t at = 0; !fields.empty() && at + 4 <= extra.size();) {
    const uint64_t kind = field(extra, at, 2), size = field(extra, at + 2, 2);
    at += 4;
    if (size > extra.size() - at) break;
    if (kind == 1 && size >= 8 * fields.size()) {
      for (size_t i = 0; i < fields.size(); ++i) *fields[i] = field(extra, at + 8 * i, 8);
      return;
    }
    at += size;
  }
  if (!fields.empty()) broken(file, "member '" + printable(name) + "' has no size");
}

}  // namespace

bool Zip::recognizes(const File& file) {
  if (file.size() < 4) return false;
  const uint64_t mark = field(read_range(file, 0, 4), 0, 4);
  return mark == kLocalMark || mark == kEndMark;
}

Zip::Zip(const File& file) : file_(file) {
  read_directory(find_directory());
}

Zip::Directory Zip::find_directory() const {
  // The end record is last, but for a comment of up to 64 kB.
  const uint64_t tail = std::min<uint64_t>(file_.size(), kEnd + 0xFFFF);
  const std::string bytes = read_range(file_, file_.size() - tail, tail);
  for (uint64_t back = kEnd; back <= tail; ++back) {
    const uint64_t at = tail - back;
    if (field(bytes, at, 4) != kEndMark || field(bytes, at + 20, 2) != back - kEnd) continue;
    Directory directory{field(bytes, at + 16, 4), field(bytes, at + 12, 4), field(bytes, at + 10, 2)};
    const uint64_t end = file_.size() - back;
    const bool is64 = end >= kLocator && field(read_range(file_, end - kLocator, 4), 0, 4) == kLocatorMark;
    if (is64) {
      const uint64_t record = field(read_range(file_, end - kLocator, kLocator), 8, 8);
      if (record > end - kLocator || end - kLocator - record < kEnd64) broken(file_, "its zip64 end is out of place");
      const std::string wide = read_range(file_, record, kEnd64);
      if (field(wide, 0, 4) != kEnd64Mark) broken(file_, "its zip64 end is missing");
      directory = {field(wide, 48, 8), field(wide, 40, 8), field(wide, 32, 8)};
    }
    if (directory.offset > end || directory.bytes > end - directory.offset)
      broken(file_, "its list of members lies outside the file");
    if (directory.bytes > kMaxDirectory) broken(file_, "its list of members is impossibly long");
    return directory;
  }
  broken(file_, "it ends too early");
}

void Zip::read_directory(const Directory& directory) {
  const std::string list = read_range(file_, directory.offset, directory.bytes);
  std::vector<std::pair<uint64_t, uint64_t>> places;
  uint64_t at = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (list.size() - at < kEntry || field(list, at, 4) != kEntryMark)
      broken(file_, "its list of members is cut short");
    const uint64_t name_size = field(list, at + 28, 2), extra_size = field(list, at + 30, 2),
                   rest = name_size + extra_size + field(list, at + 32, 2);
    if (rest > list.size() - at - kEntry) broken(file_, "its list of members is cut short");
    const std::string name = list.substr(at + kEntry, name_size);
    uint64_t size = field(list, at + 24, 4), packed = field(list, at + 20, 4), local = field(list, at + 42, 4);
    widen(file_, name, list.substr(at + kEntry + name_size, extra_size), {&size, &packed, &local});
    if (field(list, at + 8, 2) & 1)
      throw Error(kBadFile, file_.path() + ": member '" + printable(name) + "' is encrypted");
    if (field(list, at + 10, 2) != 0 || size != packed)
      throw Error(kBadFile, file_.path() + ": member '" + printable(name) +
                                "' is compressed, which torch never does; save it again with torch.save");
    if (local > directory.offset || directory.offset - local < kLocal)
      broken(file_, "member '" + printable(name) + "' lies outside the file");
    const std::string header = read_range(file_, local, kLocal);
    const uint64_t data = local + kLocal + field(header, 26, 2) + field(header, 28, 2);
    if (field(header, 0, 4) != kLocalMark || data > directory.offset || size > directory.offset - data)
      broken(file_, "member '" + printable(name) + "' lies outside the file");
    if (!members_.emplace(name, Member{data, size}).second)
      broken(file_, "member '" + printable(name) + "' is there twice");
    places.emplace_back(local, data + size);
    at += kEntry + rest;
  }
  std::sort(places.begin(), places.end());
  for (size_t i = 1; i < places.size(); ++i)
    if (places[i].first < places[i - 1].second) broken(file_, "its members overlap");
}

std::string Zip::read(const std::string& name, uint64_t limit) const {
  const auto it = members_.find(name);
  if (it == members_.end()) throw Error(kBadFile, file_.path() + ": has no member '" + printable(name) + "'");
  if (it->second.bytes > limit)
    throw Error(kBadFile, file_.path() + ": member '" + printable(name) + "' is " + std::to_string(it->second.bytes) +
                              " bytes, more than the " + std::to_string(limit) + " it may have");
  return read_range(file_, it->second.offset, it->second.bytes);
}

}  // namespace moshi
