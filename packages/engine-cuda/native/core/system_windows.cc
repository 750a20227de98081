// All that is Windows' own.
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <algorithm>
#include <vector>

#include "core/path.h"
#include "core/system.h"

namespace moshi::system {

namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;
// Between the years 1601, where Windows counts from, and 1970.
constexpr int64_t kEpoch = 11'644'473'600;
constexpr uint64_t kTicks = 10'000'000;  // a second

HANDLE handle(FileHandle file) {
  return reinterpret_cast<HANDLE>(file);
}

uint64_t joined(DWORD high, DWORD low) {
  return uint64_t{high} << 32 | low;
}

FileHandle open(const std::string& path, DWORD access, DWORD how) {
  // Files may be renamed and deleted while they are open, as elsewhere.
  constexpr DWORD kShared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  return reinterpret_cast<FileHandle>(
      ::CreateFileW(path_of(path).c_str(), access, kShared, nullptr, how, FILE_ATTRIBUTE_NORMAL, nullptr));
}

}  // namespace

const char* const kCudaLibrary = "nvcuda.dll";
const char* const kNvmlLibrary = "nvml.dll";

std::string failure() {
  const DWORD code = ::GetLastError();
  wchar_t* text = nullptr;
  const DWORD length =
      ::FormatMessageW(FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
                       nullptr, code, 0, reinterpret_cast<wchar_t*>(&text), 0, nullptr);
  std::string out = utf8(std::wstring(text ? text : L"", length));
  ::LocalFree(text);
  while (!out.empty() && (out.back() == '\n' || out.back() == '\r' || out.back() == '.' || out.back() == ' '))
    out.pop_back();
  return out.empty() ? "error " + std::to_string(code) : out;
}

FileHandle open_file(const std::string& path) {
  return open(path, GENERIC_READ, OPEN_EXISTING);
}

FileHandle create_file(const std::string& path) {
  // A link in its place is removed, which leaves what it leads to alone.
  const DWORD there = ::GetFileAttributesW(path_of(path).c_str());
  if (there != INVALID_FILE_ATTRIBUTES && (there & FILE_ATTRIBUTE_REPARSE_POINT)) remove_file(path);
  return open(path, GENERIC_WRITE, CREATE_ALWAYS);
}

void close_file(FileHandle file) {
  ::CloseHandle(handle(file));
}

std::optional<uint64_t> file_size(FileHandle file) {
  LARGE_INTEGER size{};
  if (::GetFileType(handle(file)) != FILE_TYPE_DISK || !::GetFileSizeEx(handle(file), &size)) return std::nullopt;
  return static_cast<uint64_t>(size.QuadPart);
}

int64_t read_file(FileHandle file, uint64_t offset, void* out, uint64_t most) {
  OVERLAPPED at{};
  at.Offset = static_cast<DWORD>(offset);
  at.OffsetHigh = static_cast<DWORD>(offset >> 32);
  DWORD done = 0;
  if (!::ReadFile(handle(file), out, static_cast<DWORD>(std::min(most, kMostBytes)), &done, &at))
    return ::GetLastError() == ERROR_HANDLE_EOF ? 0 : -1;
  return done;
}

int64_t write_file(FileHandle file, const void* bytes, uint64_t most) {
  DWORD done = 0;
  if (!::WriteFile(handle(file), bytes, static_cast<DWORD>(std::min(most, kMostBytes)), &done, nullptr)) return -1;
  return done;
}

bool sync_file(FileHandle file) {
  return ::FlushFileBuffers(handle(file)) != 0;
}

bool move_file(const std::string& from, const std::string& to) {
  return ::MoveFileExW(path_of(from).c_str(), path_of(to).c_str(), MOVEFILE_REPLACE_EXISTING) != 0;
}

void remove_file(const std::string& path) {
  ::DeleteFileW(path_of(path).c_str());
}

std::optional<FileStamp> file_stamp(const std::string& path) {
  WIN32_FILE_ATTRIBUTE_DATA info{};
  if (!::GetFileAttributesExW(path_of(path).c_str(), GetFileExInfoStandard, &info)) return std::nullopt;
  const uint64_t ticks = joined(info.ftLastWriteTime.dwHighDateTime, info.ftLastWriteTime.dwLowDateTime);
  return FileStamp{joined(info.nFileSizeHigh, info.nFileSizeLow), static_cast<int64_t>(ticks / kTicks) - kEpoch,
                   static_cast<int64_t>(ticks % kTicks * 100)};
}

void* open_library(const std::string& name) {
  const auto path = path_of(name);
  // A bare name is looked for where drivers are installed alone, so that no other folder's file is taken for one.
  const DWORD where = path.has_parent_path() ? LOAD_WITH_ALTERED_SEARCH_PATH : LOAD_LIBRARY_SEARCH_SYSTEM32;
  return ::LoadLibraryExW(path.c_str(), nullptr, where);
}

void* find_function(void* library, const char* name) {
  return reinterpret_cast<void*>(::GetProcAddress(static_cast<HMODULE>(library), name));
}

std::string environment(const char* name) {
  std::wstring value(32767, L'\0');  // the longest there may be
  const auto most = static_cast<DWORD>(value.size());
  value.resize(std::min(most, ::GetEnvironmentVariableW(path_of(name).c_str(), value.data(), most)));
  return utf8(value);
}

uint32_t process_id() {
  return ::GetCurrentProcessId();
}

std::optional<Cores> cores() {
  using Entry = SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX;
  DWORD bytes = 0;
  ::GetLogicalProcessorInformationEx(RelationProcessorCore, nullptr, &bytes);
  std::vector<char> buffer(bytes);
  if (bytes == 0 ||
      !::GetLogicalProcessorInformationEx(RelationProcessorCore, reinterpret_cast<Entry*>(buffer.data()), &bytes))
    return std::nullopt;
  // No bits at all: the process runs in more than one group of 64 processors.
  DWORD_PTR allowed = 0, present = 0;
  ::GetProcessAffinityMask(::GetCurrentProcess(), &allowed, &present);
  std::vector<int> classes;
  for (DWORD at = 0; at < bytes;) {
    const auto& entry = *reinterpret_cast<const Entry*>(buffer.data() + at);
    // The byte after the flags is EfficiencyClass, which older headers do not name.
    if (!allowed || (entry.Processor.GroupMask[0].Mask & allowed)) classes.push_back((&entry.Processor.Flags)[1]);
    at += entry.Size;
  }
  if (classes.empty()) return std::nullopt;
  // The higher the class, the faster the core and the more it takes.
  const auto fast = std::count(classes.begin(), classes.end(), *std::max_element(classes.begin(), classes.end()));
  return Cores{static_cast<int>(classes.size()), static_cast<int>(fast)};
}

bool has_dot_product() {
  return false;
}

std::optional<uint64_t> available_memory() {
  MEMORYSTATUSEX memory{};
  memory.dwLength = sizeof memory;
  if (!::GlobalMemoryStatusEx(&memory)) return std::nullopt;
  // What is allocated has to fit into memory and page file together.
  return std::min(memory.ullAvailPhys, memory.ullAvailPageFile);
}

// They take a privilege that users do not have.
void want_huge_pages(void*, size_t) {}

}  // namespace moshi::system
