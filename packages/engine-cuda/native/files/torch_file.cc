#include "files/torch_file.h"

#include <algorithm>

#include "core/error.h"
#include "files/values.h"
#include "files/zip.h"

namespace moshi {

namespace {

using Kind = Pickle::Kind;
using Node = Pickle::Node;

// A pickle names a tensor in some 100 bytes; read, each byte may become a node of many times its size.
constexpr uint64_t kMaxPickle = 1 << 20;
// Containers may share and even hold each other, so that few bytes spell endless names.
constexpr size_t kMaxNames = 1 << 16, kMaxName = 1024, kMaxDepth = 32, kMaxRank = 16;

const std::map<std::string_view, DType>& storages() {
  static const std::map<std::string_view, DType> kStorages = {
      {"torch.FloatStorage", DType::F32},  {"torch.DoubleStorage", DType::F64},
      {"torch.HalfStorage", DType::F16},   {"torch.BFloat16Storage", DType::BF16},
      {"torch.LongStorage", DType::I64},   {"torch.IntStorage", DType::I32},
      {"torch.ShortStorage", DType::I16},  {"torch.CharStorage", DType::I8},
      {"torch.ByteStorage", DType::U8},    {"torch.BoolStorage", DType::Bool},
      {"torch.UntypedStorage", DType::U8}, {"torch.storage.UntypedStorage", DType::U8}};
  return kStorages;
}

constexpr std::string_view kTensor = "torch._utils._rebuild_tensor", kTensor2 = "torch._utils._rebuild_tensor_v2",
                           kParameter = "torch._utils._rebuild_parameter", kSize = "torch.Size";

const std::vector<std::string_view>& allowed() {
  static const std::vector<std::string_view> kAllowed = [] {
    std::vector<std::string_view> names = {"collections.OrderedDict", kTensor, kTensor2, kParameter, kSize};
    for (const auto& [name, type] : storages()) names.push_back(name);
    return names;
  }();
  return kAllowed;
}

// The arguments of a call of this function; null for any other node.
const std::vector<uint32_t>* arguments(const Pickle& pickle, uint32_t index, std::string_view function) {
  const Node& node = pickle.node(index);
  if (node.kind != Kind::Call || pickle.node(node.items[0]).text != function) return nullptr;
  return &pickle.node(node.items[1]).items;
}

}  // namespace

TorchFile::TorchFile(const std::string& path) : file_(path) {
  if (Zip::recognizes(file_))
    read_archive();
  else
    read_stream();
}

void TorchFile::fail(const std::string& why) const {
  throw Error(kBadFile, path() + " " + why);
}

void TorchFile::read_archive() {
  const Zip zip(file_);
  // Everything lies in one folder, which is named after the file it was saved as.
  const std::string leaf = "data.pkl";
  std::string folder;
  bool found = false;
  for (const auto& [name, member] : zip.members()) {
    if (name != leaf && (name.find('/') == std::string::npos || name.substr(name.find('/') + 1) != leaf)) continue;
    if (found) fail("holds two archives in one; save it again with torch.save");
    folder = name.substr(0, name.size() - leaf.size());
    found = true;
  }
  if (!found) fail("is no file of torch.save: it has no data.pkl");
  if (zip.members().count(folder + "byteorder") && zip.read(folder + "byteorder", 16) != "little")
    fail("was saved on a big-endian machine; save it again on another");
  const std::string bytes = zip.read(folder + leaf, kMaxPickle);
  const std::string data = folder + "data/";
  for (auto it = zip.members().lower_bound(data); it != zip.members().end(); ++it) {
    if (it->first.compare(0, data.size(), data) != 0) break;
    places_[it->first.substr(data.size())] = {it->second.offset, it->second.bytes};
  }
  size_t at = 0;
  const Pickle pickle(bytes, at, path(), allowed());
  name_tensors(pickle);
}

void TorchFile::read_stream() {
  std::string bytes(std::min(file_.size(), kMaxPickle), '\0');
  file_.read(0, bytes.data(), bytes.size());
  static constexpr unsigned char kMagic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
  const std::string_view magic(reinterpret_cast<const char*>(kMagic), sizeof kMagic);
  // Pickles begin with their protocol; the oldest at once with what they want to call, which shall be named.
  if (bytes.empty() || std::string_view("\x80"
                                        "c(")
                               .find(bytes[0]) == std::string_view::npos)
    fail("is no file of torch.save");
  size_t at = 0;
  const auto next = [&] { return Pickle(bytes, at, path(), allowed()); };
  if (const Pickle first = next(); first.root().kind != Kind::Text || first.root().text != magic)
    fail("is no file of torch.save: it is some other pickle, which was not executed");
  if (const Pickle version = next(); version.root().integer != 1001)
    fail("is of an unknown version of torch.save's old layout; save it again");
  const Pickle system = next();
  const std::vector<uint32_t>& facts = system.root().items;
  for (size_t i = 0; system.root().kind == Kind::Dict && i + 1 < facts.size(); i += 2)
    if (system.node(facts[i]).text == "little_endian" && system.node(facts[i + 1]).integer != 1)
      fail("was saved on a big-endian machine; save it again on another");
  const Pickle object = next();
  const Pickle keys = next();
  read_stream_storages(object, keys, at);
  name_tensors(object);
}

// The storages follow in the order of the keys, each behind its number of elements. Their types only the object tells.
void TorchFile::read_stream_storages(const Pickle& object, const Pickle& keys, uint64_t at) {
  std::map<std::string_view, uint64_t> widths;
  for (uint32_t i = 0; i < object.size(); ++i) {
    if (object.node(i).kind != Kind::Persistent) continue;
    const std::vector<uint32_t>& id = object.node(object.node(i).items[0]).items;
    if (id.size() < 5) continue;
    const auto type = storages().find(object.node(id[1]).text);
    if (type != storages().end())
      widths.emplace(object.node(id[2]).text, static_cast<uint64_t>(dtype_bytes(type->second)));
  }
  if (keys.root().kind != Kind::List) fail("has no list of storages; it is broken, download it again");
  for (const uint32_t key : keys.root().items) {
    const std::string_view name = keys.node(key).text;
    const auto width = widths.find(name);
    if (width == widths.end()) fail("lists a storage that nothing uses; it is broken, download it again");
    uint64_t count = 0;
    if (file_.size() - at < 8) fail("ends too early; download it again");
    unsigned char raw[8];
    file_.read(at, raw, 8);
    for (int i = 7; i >= 0; --i) count = count << 8 | raw[i];
    at += 8;
    if (count > (file_.size() - at) / width->second) fail("ends too early; download it again");
    places_[std::string(name)] = {at, count * width->second};
    at += count * width->second;
  }
}

// ('storage', type, key, device, elements), and in the old layout a view, which has been empty for many versions.
TorchFile::Storage TorchFile::storage(const Pickle& pickle, uint32_t index) const {
  const Node& node = pickle.node(index);
  if (node.kind != Kind::Persistent) fail("has a tensor without a storage; it is broken, download it again");
  const Node& id = pickle.node(node.items[0]);
  const auto part = [&](size_t i) -> const Node& { return pickle.node(id.items[i]); };
  if (id.kind != Kind::Tuple || id.items.size() < 5 || id.items.size() > 6 || part(0).text != "storage")
    fail("refers to something other than a storage; a voice file may only hold tensors");
  if (id.items.size() == 6 && part(5).kind != Kind::Other)
    fail("has a view of a storage, as only very old versions of torch wrote it; save it again");
  const auto type = storages().find(part(1).text);
  if (part(1).kind != Kind::Global || type == storages().end() || part(2).kind != Kind::Text ||
      part(4).kind != Kind::Integer)
    fail("has a storage of an unknown kind; it is broken, download it again");
  const std::string key(part(2).text);
  const auto place = places_.find(key);
  if (place == places_.end()) fail("lacks the storage '" + printable(key) + "'; it is truncated, download it again");
  const uint64_t width = static_cast<uint64_t>(dtype_bytes(type->second)), bytes = place->second.second;
  if (part(4).integer < 0 || bytes % width != 0 || bytes / width != static_cast<uint64_t>(part(4).integer))
    fail("has a storage '" + printable(key) + "' that is larger or smaller than it says; download it again");
  return {type->second, place->second.first, part(4).integer};
}

// _rebuild_tensor[_v2](storage, offset, size, stride, …), perhaps inside of _rebuild_parameter(tensor, …).
TorchFile::Tensor TorchFile::tensor(const Pickle& pickle, uint32_t index) const {
  const std::vector<uint32_t>* all = arguments(pickle, index, kParameter);
  if (all && all->empty()) fail("has a parameter without a tensor; it is broken, download it again");
  if (all) index = all->front();
  all = arguments(pickle, index, kTensor2);
  if (!all) all = arguments(pickle, index, kTensor);
  if (!all) fail("calls a storage or a size as if it made tensors; it is broken, download it again");
  if (all->size() < 4) fail("has a tensor without a size; it is broken, download it again");
  const Storage from = storage(pickle, (*all)[0]);
  const auto sizes = [&](uint32_t item) {
    if (const auto* size = arguments(pickle, item, kSize)) item = size->empty() ? item : size->front();
    const Node& node = pickle.node(item);
    if ((node.kind != Kind::Tuple && node.kind != Kind::List) || node.items.size() > kMaxRank)
      fail("has a tensor of an impossible shape; it is broken, download it again");
    std::vector<int64_t> out;
    for (const uint32_t entry : node.items) {
      if (pickle.node(entry).kind != Kind::Integer || pickle.node(entry).integer < 0)
        fail("has a tensor of an impossible shape; it is broken, download it again");
      out.push_back(pickle.node(entry).integer);
    }
    return out;
  };
  Tensor out{from.type, from.offset, 0, 1, sizes((*all)[2]), sizes((*all)[3])};
  if (out.shape.size() != out.strides.size() || pickle.node((*all)[1]).kind != Kind::Integer)
    fail("has a tensor of an impossible shape; it is broken, download it again");
  out.first = pickle.node((*all)[1]).integer;
  // The last element must lie in the storage, and no more elements be made of it than the file has bytes.
  int64_t last = out.first, step = 0;
  bool fits = out.first >= 0 && out.first <= from.count;
  if (std::count(out.shape.begin(), out.shape.end(), 0) > 0) out.count = 0;
  for (size_t d = 0; d < out.shape.size() && out.count > 0 && fits; ++d) {
    // A step that is never taken may be of any size.
    if (out.shape[d] == 1) out.strides[d] = 0;
    fits = !__builtin_mul_overflow(out.count, out.shape[d], &out.count) &&
           static_cast<uint64_t>(out.count) <= std::max(file_.size(), uint64_t{kMaxNames}) &&
           !__builtin_mul_overflow(out.shape[d] - 1, out.strides[d], &step) &&
           !__builtin_add_overflow(last, step, &last);
  }
  if (!fits || (out.count > 0 && last >= from.count))
    fail("has a tensor that reaches beyond its storage; it is broken, download it again");
  return out;
}

void TorchFile::name_tensors(const Pickle& pickle) {
  struct Place {
    uint32_t index;
    std::string key;
    size_t depth;
  };
  std::map<uint32_t, size_t> made;
  const auto is_tensor = [&](uint32_t index) {
    return pickle.node(index).kind == Kind::Call && !arguments(pickle, index, kSize);
  };
  const auto make = [&](uint32_t index) {
    const auto [it, fresh] = made.emplace(index, tensors_.size());
    if (fresh) tensors_.push_back(tensor(pickle, index));
    return it->second;
  };
  std::vector<Place> open = {{pickle.root_index(), "", 0}};
  size_t names = 0;
  while (!open.empty()) {
    const Place place = std::move(open.back());
    open.pop_back();
    const Node& node = pickle.node(place.index);
    if (is_tensor(place.index)) entries_[place.key] = {{make(place.index)}, false};
    const bool dict = node.kind == Kind::Dict;
    if (!dict && node.kind != Kind::List && node.kind != Kind::Tuple) continue;
    if (place.depth >= kMaxDepth) fail("nests its containers deeper than " + std::to_string(kMaxDepth));
    names += node.items.size();
    if (names > kMaxNames) fail("names more than " + std::to_string(kMaxNames) + " things");
    if (!dict && !node.items.empty() && std::all_of(node.items.begin(), node.items.end(), is_tensor)) {
      Entry stacked{{}, true};
      for (const uint32_t item : node.items) stacked.parts.push_back(make(item));
      const std::vector<int64_t>& shape = tensors_[stacked.parts[0]].shape;
      if (std::all_of(stacked.parts.begin(), stacked.parts.end(), [&](size_t t) { return tensors_[t].shape == shape; }))
        entries_[place.key] = std::move(stacked);
    }
    // Pushed backwards to be taken in order: of two equal keys the last one counts.
    for (size_t i = node.items.size(); i > 0; i -= dict ? 2 : 1) {
      const size_t first = dict ? i - 2 : i - 1;
      const Node& key = pickle.node(node.items[first]);
      if (dict && key.kind != Kind::Text && key.kind != Kind::Integer) continue;
      const std::string leaf = !dict                    ? std::to_string(first)
                               : key.kind == Kind::Text ? std::string(key.text)
                                                        : std::to_string(key.integer);
      if (place.key.size() + leaf.size() > kMaxName)
        fail("has a name longer than " + std::to_string(kMaxName) + " bytes");
      open.push_back({node.items[i - 1], place.key + (place.depth > 0 ? "." : "") + leaf, place.depth + 1});
    }
  }
}

std::vector<std::string> TorchFile::keys() const {
  std::vector<std::string> out;
  for (const auto& [key, entry] : entries_) out.push_back(key);
  return out;
}

const TorchFile::Entry& TorchFile::entry(const std::string& key) const {
  const auto it = entries_.find(key);
  if (it == entries_.end()) fail("has no tensor '" + printable(key) + "'");
  return it->second;
}

std::vector<int64_t> TorchFile::shape(const std::string& key) const {
  const Entry& named = entry(key);
  std::vector<int64_t> out = tensors_[named.parts[0]].shape;
  if (named.list) out.insert(out.begin(), static_cast<int64_t>(named.parts.size()));
  return out;
}

std::vector<char> TorchFile::gather(const Tensor& tensor) const {
  const uint64_t width = static_cast<uint64_t>(dtype_bytes(tensor.type)), count = static_cast<uint64_t>(tensor.count);
  std::vector<char> out(count * width);
  if (count == 0) return out;
  // The elements a view reaches, read at once.
  int64_t reach = 1, dense = 1;
  bool contiguous = true;
  for (size_t d = tensor.shape.size(); d > 0; --d) {
    reach += (tensor.shape[d - 1] - 1) * tensor.strides[d - 1];
    contiguous &= tensor.shape[d - 1] == 1 || tensor.strides[d - 1] == dense;
    dense *= tensor.shape[d - 1];
  }
  const uint64_t begin = tensor.offset + static_cast<uint64_t>(tensor.first) * width;
  if (contiguous) {
    file_.read(begin, out.data(), out.size());
    return out;
  }
  std::vector<char> raw(static_cast<uint64_t>(reach) * width);
  file_.read(begin, raw.data(), raw.size());
  std::vector<int64_t> at(tensor.shape.size(), 0);
  int64_t place = 0;
  for (uint64_t i = 0; i < count; ++i) {
    std::memcpy(&out[i * width], &raw[static_cast<uint64_t>(place) * width], width);
    // The next index, the last dimension running fastest.
    for (size_t d = at.size(); d > 0; --d) {
      place += tensor.strides[d - 1];
      if (++at[d - 1] < tensor.shape[d - 1]) break;
      place -= tensor.shape[d - 1] * tensor.strides[d - 1];
      at[d - 1] = 0;
    }
  }
  return out;
}

template <typename T, typename Convert>
std::vector<T> TorchFile::values(const std::string& key, const char* sort, Convert convert) const {
  const Entry& named = entry(key);
  // A list may hold the same tensor many times.
  const uint64_t each = static_cast<uint64_t>(tensors_[named.parts[0]].count), total = each * named.parts.size();
  if (total > std::max(file_.size(), uint64_t{kMaxNames})) fail("makes more of '" + printable(key) + "' than it holds");
  std::vector<T> out(total);
  for (size_t i = 0; i < named.parts.size(); ++i) {
    const Tensor& part = tensors_[named.parts[i]];
    const std::vector<char> raw = gather(part);
    if (!convert(part.type, raw.data(), each, out.data() + i * each))
      fail("holds '" + printable(key) + "' as something other than " + sort);
  }
  return out;
}

std::vector<float> TorchFile::floats(const std::string& key) const {
  return values<float>(key, "floating-point numbers", to_floats);
}

std::vector<int64_t> TorchFile::integers(const std::string& key) const {
  return values<int64_t>(key, "whole numbers", to_integers);
}

}  // namespace moshi
