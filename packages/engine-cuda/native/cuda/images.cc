#include "cuda/images.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/error.h"
#include "core/path.h"
#include "cuda/fingerprint.h"
#include "files/file.h"
#include "files/json.h"

namespace moshi {

namespace {

constexpr uint64_t kMostIndexBytes = 16 << 20;

Error not_built(const std::string& what) {
  return {kNotBuilt,
          what + ": build the GPU kernels with `npm run build` in the repository (needs clang-19), or run on the CPU"};
}

}  // namespace

Images::Images(const std::string& folder) : folder_(folder) {
  namespace fs = std::filesystem;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(path_of(folder), failed)) {
    // name.sm_NN.cubin or .ptx; anything else is none of ours.
    const std::string extension = utf8(entry.path().extension()), name = utf8(entry.path().stem());
    const size_t dot = name.rfind(".sm_");
    if (dot == std::string::npos || (extension != ".cubin" && extension != ".ptx")) continue;
    int arch = 0;
    const char* end = name.data() + name.size();
    if (std::from_chars(name.data() + dot + 4, end, arch).ptr != end) continue;
    files_[name.substr(0, dot)].push_back({utf8(entry.path()), arch, extension == ".cubin"});
  }
  const std::string index = folder + "/kernels.json";
  if (files_.empty() || !fs::exists(path_of(index), failed))
    throw not_built("there are no GPU kernels in '" + folder + "'");
  const Json json = Json::parse(read_whole(index, kMostIndexBytes), "kernels.json");
  const Json *made_of = json.find("fingerprint"), *kernels = json.find("kernels");
  if (!made_of || !kernels || made_of->string("fingerprint") != kFingerprint)
    throw not_built("the GPU kernels in '" + folder + "' are not made of the sources of this build");
  for (const auto& [kernel, file] : kernels->members()) kernels_[kernel] = file.string(kernel);
}

std::vector<Images::Image> Images::fitting(const std::string& file, int arch) const {
  std::vector<Image> out;
  if (const auto found = files_.find(file); found != files_.end())
    std::copy_if(found->second.begin(), found->second.end(), std::back_inserter(out), [&](const Image& image) {
      return image.arch <= arch && (!image.cubin || image.arch / 10 == arch / 10);
    });
  std::sort(out.begin(), out.end(),
            [](const Image& a, const Image& b) { return std::pair(a.cubin, a.arch) > std::pair(b.cubin, b.arch); });
  return out;
}

void Images::check(int arch) const {
  for (const auto& [file, images] : files_)
    if (!fitting(file, arch).empty()) return;
  const auto& [file, images] = *files_.begin();
  std::string there;
  for (const Image& image : images) there += (there.empty() ? "" : ", ") + utf8(path_of(image.path).filename());
  throw Error(kNotBuilt, "no GPU kernels for sm_" + std::to_string(arch) + " are in '" + folder_ + "', of " + file +
                             " there is " + there + ": take a newer GPU, or run on the CPU");
}

const std::string& Images::file_of(std::string_view kernel) const {
  const auto found = kernels_.find(kernel);
  if (found == kernels_.end())
    throw not_built("kernels.json in '" + folder_ + "' does not know the kernel " + std::string(kernel));
  return found->second;
}

}  // namespace moshi
