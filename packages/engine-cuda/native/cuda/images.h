// The kernels as a package ships them: a folder with, for files of kernels and generations of GPUs that have them,
// machine code (norm.sm_80.cubin, linear.q8_0.sm_80.cubin) or PTX that the driver compiles (norm.sm_80.ptx), and
// kernels.json: which kernel is in which file, and of which sources they all are.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace moshi {

class Images {
 public:
  explicit Images(const std::string& folder);

  struct Image {
    std::string path;
    int arch;  // 80 of sm_80
    bool cubin;
  };
  // What may run on a GPU, best first: machine code of its own major generation, then PTX, the newest it takes first.
  std::vector<Image> fitting(const std::string& file, int arch) const;
  // Throws Error(kNotBuilt) for a GPU for which there is nothing.
  void check(int arch) const;
  const std::string& file_of(std::string_view kernel) const;

 private:
  std::string folder_;
  std::map<std::string, std::vector<Image>> files_;
  std::map<std::string, std::string, std::less<>> kernels_;
};

}  // namespace moshi
