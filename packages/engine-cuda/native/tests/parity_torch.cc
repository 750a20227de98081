// Files of torch.save in both layouts, tensor by tensor.
#include "files/safetensors.h"
#include "files/torch_file.h"
#include "tests/parity.h"
#include "tests/parity_tools.h"

namespace moshi {

void check_torch(const Case& one, Report& report) {
  const Safetensors expected(one.file("expected.safetensors"));
  for (const std::string leaf : {"zip.pt", "zip_protocol5.pt", "old.pt", "old_protocol4.pt"}) {
    const TorchFile file(one.file(leaf));
    int64_t differing = 0, compared = 0;
    std::string first;
    for (const auto& [name, info] : expected.tensors()) {
      bool same = file.has(name) && file.shape(name) == info.shape;
      if (same && info.type == DType::F32)
        same = file.floats(name) == expected.floats(name);
      else if (same)
        same = file.integers(name) == expected.integers(name);
      ++compared;
      if (!same && differing++ == 0) first = name;
    }
    for (const std::string& key : file.keys())
      if (!expected.has(key) && differing++ == 0) first = key;
    report.same_text(leaf, differing, compared, first);
  }
}

}  // namespace moshi
