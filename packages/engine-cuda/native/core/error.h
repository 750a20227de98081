// Every failure the engine reports: a code for programs, one line with the cure for people.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace moshi {

class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// The codes a caller may see; JavaScript gets them as error.code.
inline constexpr const char* kBadFile = "ENGINE_BAD_FILE";      // a file is broken or is not what it claims to be
inline constexpr const char* kBadModel = "ENGINE_BAD_MODEL";    // files are sound but do not form a model we run
inline constexpr const char* kBadOption = "ENGINE_BAD_OPTION";  // the caller asked for something out of range
inline constexpr const char* kFull = "ENGINE_FULL";             // every slot is taken
inline constexpr const char* kClosed = "ENGINE_CLOSED";         // the session or engine was closed before
inline constexpr const char* kNotBuilt = "ENGINE_NOT_BUILT";    // this build lacks the part that is needed
inline constexpr const char* kGpuMemory = "ENGINE_GPU_MEMORY";  // a GPU has no memory left
inline constexpr const char* kGpuLost = "ENGINE_GPU_LOST";      // a GPU stopped working; what lay in its memory is gone
inline constexpr const char* kGpuDriver = "ENGINE_GPU_DRIVER";  // a GPU's driver refused what it was asked

// A name out of a file, fit for one line of a message.
std::string printable(std::string_view name, size_t most = 100);

}  // namespace moshi
