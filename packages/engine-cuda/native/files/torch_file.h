// What torch.save wrote, read strictly as data: tensors by name out of both published layouts, the zip archive and the
// stream of pickles that came before it. Anything that is not a tensor or a container of tensors is refused by name.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "files/file.h"
#include "files/pickle.h"

namespace moshi {

class TorchFile {
 public:
  // Reads the names and places of all tensors, but none of their values. Throws Error(kBadFile).
  explicit TorchFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  // A tensor inside of containers is named by their keys and indices: "state.layers.0". A list or tuple of tensors of
  // one shape also stands, stacked, under its own name.
  bool has(const std::string& key) const { return entries_.count(key) > 0; }
  std::vector<std::string> keys() const;
  // Throws Error(kBadFile) naming the key when it is absent.
  std::vector<int64_t> shape(const std::string& key) const;
  // Any floating type as float32, any integer type as int64, in row-major order.
  std::vector<float> floats(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;

 private:
  struct Storage {
    DType type;
    uint64_t offset;  // of the first byte in the file
    int64_t count;
  };
  struct Tensor {  // every element is known to lie in its storage
    DType type;
    uint64_t offset;  // of its storage in the file
    int64_t first;    // element of the storage
    int64_t count;
    std::vector<int64_t> shape, strides;
  };
  struct Entry {
    std::vector<size_t> parts;  // tensors, stacked when `list`
    bool list;
  };

  void read_archive();
  void read_stream();
  void read_stream_storages(const Pickle& object, const Pickle& keys, uint64_t at);
  Storage storage(const Pickle& pickle, uint32_t index) const;
  void name_tensors(const Pickle& pickle);
  Tensor tensor(const Pickle& pickle, uint32_t index) const;
  const Entry& entry(const std::string& key) const;
  // Every element of the entry through `convert`, which says false to types that are not `sort`.
  template <typename T, typename Convert>
  std::vector<T> values(const std::string& key, const char* sort, Convert convert) const;
  // The elements in row-major order, as stored.
  std::vector<char> gather(const Tensor& tensor) const;
  [[noreturn]] void fail(const std::string& why) const;

  File file_;
  std::map<std::string, std::pair<uint64_t, uint64_t>> places_;  // storage key → offset and bytes in the file
  std::vector<Tensor> tensors_;
  std::map<std::string, Entry> entries_;
};

}  // namespace moshi
