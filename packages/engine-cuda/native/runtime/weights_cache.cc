#include "runtime/weights_cache.h"

#include <filesystem>

#include "core/error.h"
#include "core/path.h"
#include "core/system.h"
#include "files/gguf.h"
#include "model/names.h"
#include "runtime/quantize.h"

namespace moshi {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSource = "moshi.source";
// Of the types chosen and the rounding; another number makes files of older versions stale.
constexpr const char* kVersion = "1";
constexpr auto kForgotten = std::chrono::hours(24);

// Changes whenever the file does.
std::string identity(const std::string& source, Precision precision) {
  const auto stamp = system::file_stamp(source);
  if (!stamp) return {};
  return utf8(path_of(source).filename()) + " " + std::to_string(stamp->bytes) + " " + std::to_string(stamp->seconds) +
         "." + std::to_string(stamp->nanoseconds) + " " + precision_name(precision) + " " + kVersion;
}

bool is_sound(const std::string& path, const std::string& wanted) {
  try {
    const Gguf file(path);
    const auto found = file.texts().find(kSource);
    return found != file.texts().end() && found->second == wanted;
  } catch (const Error&) {
    return false;
  }
}

// What a process that was killed left behind.
void remove_forgotten(const std::string& path) {
  std::error_code failed;
  const fs::path wanted = path_of(path);
  for (const fs::directory_entry& entry : fs::directory_iterator(wanted.parent_path(), failed)) {
    const std::string name = utf8(entry.path().filename());
    if (entry.path().extension() != ".partial" || name.find(utf8(wanted.filename()) + ".") != 0) continue;
    const auto time = entry.last_write_time(failed);
    if (!failed && fs::file_time_type::clock::now() - time > kForgotten) fs::remove(entry.path(), failed);
  }
}

bool make(const std::string& path, const std::string& source, const std::vector<int>& schedule, Precision precision,
          const std::string& wanted, const WeightsCache& cache, Backend& backend) {
  std::error_code failed;
  fs::create_directories(path_of(path).parent_path(), failed);
  if (failed) return false;
  remove_forgotten(path);
  try {
    quantize_weights(*open_weights(source, schedule),
                     {.out = path,
                      .type = QuantizeType(precision_name(precision)),
                      .keep_odd = true,
                      .texts = {{kSource, wanted}},
                      .progress = cache.progress},
                     backend);
    return is_sound(path, wanted);
  } catch (const Error& error) {
    if (error.code() == kClosed) throw;
    // A disk that is full or may not be written to; what is wrong with the source itself, loading it will say.
    return false;
  }
}

}  // namespace

std::string cached_weights(const std::string& source, const std::vector<int>& schedule, Precision precision,
                           const WeightsCache& cache, Backend& backend) {
  const std::string wanted = identity(source, precision);
  if (wanted.empty()) return {};
  const std::string name = utf8(path_of(source).stem()) + "." + precision_name(precision) + ".gguf";
  std::vector<std::string> paths;
  for (const std::string& folder : cache.folders) paths.push_back(utf8(path_of(folder) / path_of(name)));
  for (const std::string& path : paths)
    if (is_sound(path, wanted)) return path;
  for (const std::string& path : paths)
    if (make(path, source, schedule, precision, wanted, cache, backend)) return path;
  return {};
}

}  // namespace moshi
