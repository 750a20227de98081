// The shared memory of one block: arrays between guards, filled with NaNs at the start of each block.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace moshi::gpu::host {

class SharedMemory {
 public:
  ~SharedMemory();
  // The array of a place in the source; the same one each time. Uninitialised until the block has written it: floats
  // read as NaN, whole numbers as -1.
  void* array(const char* site, const char* name, size_t bytes);
  // All arrays as they are before a block starts.
  void clear();
  // The name of an array next to which something was written, or null.
  const char* overrun() const;
  size_t bytes() const;

 private:
  struct Array {
    const char *site, *name;
    size_t bytes;
    bool used;
    std::unique_ptr<std::byte[]> memory;
    std::byte* data() const;
  };
  static void fill(Array& array);
  std::vector<Array> arrays_;
};

}  // namespace moshi::gpu::host
