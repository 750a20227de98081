// Helpers of the checks that read files.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "core/error.h"
#include "core/path.h"
#include "tests/checks.h"

namespace moshi {

// Parts of check_files().
void check_torch_file();
void check_weights();

// Named in more than one script, as files of users may be.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_(utf8(std::filesystem::temp_directory_path() /
                   path_of("moshi-check-\u00e9\u03a9\u5b57-" + std::to_string(std::random_device{}())))) {}
  explicit TemporaryFile(const std::string& bytes) : TemporaryFile() { write(bytes); }
  ~TemporaryFile() { remove(); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }
  const std::string& write(const std::string& bytes) const {
    // Some file systems wait for the disk when a file is written over.
    remove();
    std::ofstream(path_of(path_), std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_;
  }

 private:
  void remove() const {
    std::error_code ignored;
    std::filesystem::remove(path_of(path_), ignored);
  }

  std::string path_;
};

// What Error said; empty when there was none.
template <typename Task>
std::string refusal(Task task) {
  try {
    task();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

template <typename Task>
bool refused(Task task) {
  return !refusal(task).empty();
}

// `value` as `bytes` little-endian bytes.
inline std::string little_endian(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return little_endian(header.size(), 8) + header + data;
}

// Runs the parser on many damaged copies of `sound`; only Error may come out.
template <typename Parse>
void fuzz(const std::string& what, const std::string& sound, int rounds, Parse parse) {
  std::mt19937 random(1234);
  int stray = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = sound;
    const int edits = 1 + static_cast<int>(random() % 8);
    for (int e = 0; e < edits && !bytes.empty(); ++e) {
      const size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, random() % 16);
          break;
        case 2:
          bytes.insert(at, std::string(random() % 16, static_cast<char>(random())));
          break;
        default:
          bytes.resize(at);
      }
    }
    try {
      parse(bytes);
    } catch (const Error&) {
    } catch (const std::exception& error) {
      if (stray++ == 0) std::printf("      %s: %s\n", what.c_str(), error.what());
    }
  }
  expect(stray == 0, what + ": damaged files raise nothing but Error");
}

}  // namespace moshi
