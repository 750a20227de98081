// NVIDIA's driver as a table of functions. Its library is opened while the program runs, so that nothing of NVIDIA's is
// needed to build; a function this driver lacks is null.
#pragma once

#include <cstddef>
#include <string>

#include "core/error.h"

namespace moshi {

// The driver interface's own types and numbers, under its own names without their prefix.
namespace cu {

using Device = int;
using Address = unsigned long long;  // of the device's memory
using Context = struct ContextHandle*;
using Stream = struct StreamHandle*;
using Event = struct EventHandle*;
using Module = struct ModuleHandle*;
using Function = struct FunctionHandle*;
using Graph = struct GraphHandle*;
using GraphExec = struct GraphExecHandle*;
using Node = struct NodeHandle*;

struct Uuid {
  unsigned char bytes[16];
};

enum Status : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kDeinitialized = 4,
  kStubLibrary = 34,
  kInsufficientDriver = 35,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kNoBinaryForGpu = 209,
  kEccUncorrectable = 214,
  kInvalidPtx = 218,
  kNvlinkUncorrectable = 220,
  kJitCompilerNotFound = 221,
  kUnsupportedPtxVersion = 222,
  kJitCompilationDisabled = 223,
  kContained = 226,
  kInvalidHandle = 400,
  kNotFound = 500,
  kIllegalAddress = 700,
  kLaunchOutOfResources = 701,
  kLaunchTimeout = 702,
  kContextIsDestroyed = 709,
  kAssert = 710,
  kHardwareStackError = 714,
  kIllegalInstruction = 715,
  kMisalignedAddress = 716,
  kInvalidAddressSpace = 717,
  kInvalidProgramCounter = 718,
  kLaunchFailed = 719,
  kCooperativeLaunchTooLarge = 720,
  kNotPermitted = 800,
  kNotSupported = 801,
  kNotReady = 802,
  kMismatch = 803,
  kCaptureUnsupported = 900,
  kCaptureInvalidated = 901,
  kCaptureUnmatched = 903,
  kCaptureWrongThread = 908,
  kExternalDevice = 911,
  kUnknown = 999,
};

enum Attribute : int {
  kMultiprocessors = 16,
  kIntegrated = 18,
  kEcc = 32,
  kMemoryClock = 36,  // kHz
  kMemoryBus = 37,    // bits
  kMajor = 75,
  kMinor = 76,
  kCooperativeLaunch = 95,
  kSharedLimit = 97,  // bytes of a block that asks for more than the usual 48 KB
};
enum FunctionAttribute : int { kThreadLimit = 0, kStaticShared = 1, kDynamicShared = 8 };
enum JitOption : int { kErrorLog = 5, kErrorLogBytes = 6 };
enum MemoryKind : unsigned { kHost = 1, kDevice = 2 };
inline constexpr unsigned kNonBlocking = 1;    // a stream apart from the one all programs share
inline constexpr unsigned kDisableTiming = 2;  // of events
inline constexpr int kThreadLocal = 1;         // a capture: what other threads do is no concern of it

// What cuMemcpy2DAsync takes.
struct Copy2D {
  size_t from_x, from_y;
  MemoryKind from_kind;
  const void* from_host;
  Address from;
  void* from_array;
  size_t from_pitch;
  size_t to_x, to_y;
  MemoryKind to_kind;
  void* to_host;
  Address to;
  void* to_array;
  size_t to_pitch;
  size_t width, rows;  // of bytes
};

}  // namespace cu

// What the driver's library is called; MOSHI_CUDA_LIBRARY names another one, such as an emulated driver.
std::string cuda_library();

struct DriverApi {
  DriverApi() = default;
  explicit DriverApi(const std::string& library);
  bool found = false;  // the library

  cu::Status (*init)(unsigned) = nullptr;
  cu::Status (*version)(int*) = nullptr;
  cu::Status (*error_name)(cu::Status, const char**) = nullptr;
  cu::Status (*error_text)(cu::Status, const char**) = nullptr;

  cu::Status (*device_count)(int*) = nullptr;
  cu::Status (*device)(cu::Device*, int index) = nullptr;
  cu::Status (*device_name)(char*, int, cu::Device) = nullptr;
  cu::Status (*device_uuid)(cu::Uuid*, cu::Device) = nullptr;
  cu::Status (*device_address)(char*, int, cu::Device) = nullptr;
  cu::Status (*device_attribute)(int*, cu::Attribute, cu::Device) = nullptr;
  cu::Status (*device_memory)(size_t*, cu::Device) = nullptr;

  cu::Status (*context_retain)(cu::Context*, cu::Device) = nullptr;
  cu::Status (*context_release)(cu::Device) = nullptr;
  cu::Status (*context_set)(cu::Context) = nullptr;
  cu::Status (*context_push)(cu::Context) = nullptr;
  cu::Status (*context_pop)(cu::Context*) = nullptr;

  cu::Status (*memory_info)(size_t* free, size_t* total) = nullptr;
  cu::Status (*memory_allocate)(cu::Address*, size_t) = nullptr;
  cu::Status (*memory_free)(cu::Address) = nullptr;
  cu::Status (*host_allocate)(void**, size_t, unsigned flags) = nullptr;
  cu::Status (*host_free)(void*) = nullptr;

  cu::Status (*stream_create)(cu::Stream*, unsigned flags) = nullptr;
  cu::Status (*stream_destroy)(cu::Stream) = nullptr;
  cu::Status (*stream_wait)(cu::Stream) = nullptr;
  cu::Status (*event_create)(cu::Event*, unsigned flags) = nullptr;
  cu::Status (*event_destroy)(cu::Event) = nullptr;
  cu::Status (*event_record)(cu::Event, cu::Stream) = nullptr;
  cu::Status (*event_wait)(cu::Event) = nullptr;

  cu::Status (*copy)(cu::Address to, cu::Address from, size_t, cu::Stream) = nullptr;
  cu::Status (*copy_rows)(const cu::Copy2D*, cu::Stream) = nullptr;
  cu::Status (*copy_in)(cu::Address to, const void* from, size_t, cu::Stream) = nullptr;
  cu::Status (*copy_out)(void* to, cu::Address from, size_t, cu::Stream) = nullptr;
  cu::Status (*fill)(cu::Address, unsigned char, size_t, cu::Stream) = nullptr;

  cu::Status (*module_load)(cu::Module*, const void* image, unsigned count, cu::JitOption*, void** values) = nullptr;
  cu::Status (*module_unload)(cu::Module) = nullptr;
  cu::Status (*module_function)(cu::Function*, cu::Module, const char* name) = nullptr;
  cu::Status (*function_get)(int*, cu::FunctionAttribute, cu::Function) = nullptr;
  cu::Status (*function_set)(cu::Function, cu::FunctionAttribute, int) = nullptr;
  cu::Status (*launch)(cu::Function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                       unsigned block_y, unsigned block_z, unsigned shared, cu::Stream, void** parameters,
                       void** extra) = nullptr;
  cu::Status (*launch_cooperative)(cu::Function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                   unsigned block_y, unsigned block_z, unsigned shared, cu::Stream,
                                   void** parameters) = nullptr;
  cu::Status (*blocks_per_multiprocessor)(int*, cu::Function, int threads, size_t shared) = nullptr;

  cu::Status (*capture_begin)(cu::Stream, int mode) = nullptr;
  cu::Status (*capture_end)(cu::Stream, cu::Graph*) = nullptr;
  cu::Status (*graph_destroy)(cu::Graph) = nullptr;
  // Two forms of one function; drivers have either or both.
  cu::Status (*graph_instantiate)(cu::GraphExec*, cu::Graph, unsigned long long flags) = nullptr;
  cu::Status (*graph_instantiate_old)(cu::GraphExec*, cu::Graph, cu::Node*, char* log, size_t) = nullptr;
  cu::Status (*graph_launch)(cu::GraphExec, cu::Stream) = nullptr;
  cu::Status (*graph_exec_destroy)(cu::GraphExec) = nullptr;

  // Throws what failure() says of anything but success.
  void check(cu::Status status, const char* call) const {
    if (status != cu::kSuccess) throw failure(status, call);
  }
  // One line for `call`, as "cuMemAlloc", with the driver's own words and a cure.
  Error failure(cu::Status status, const std::string& call) const;
  // As "CUDA_ERROR_NOT_FOUND, named symbol not found".
  std::string words(cu::Status status) const;
  // The first function that engines cannot do without and that is not there, or null.
  const char* missing() const;
};

// Every function of the table, whether engines cannot do without it, and its names, newest first. The second form of
// cuStreamBeginCapture has the mode, without which every other thread would be in the way.
#define MOSHI_DRIVER_FUNCTIONS(EACH)                                                   \
  EACH(init, true, cuInit)                                                             \
  EACH(version, false, cuDriverGetVersion)                                             \
  EACH(error_name, false, cuGetErrorName)                                              \
  EACH(error_text, false, cuGetErrorString)                                            \
  EACH(device_count, true, cuDeviceGetCount)                                           \
  EACH(device, true, cuDeviceGet)                                                      \
  EACH(device_name, false, cuDeviceGetName)                                            \
  EACH(device_uuid, false, cuDeviceGetUuid_v2, cuDeviceGetUuid)                        \
  EACH(device_address, false, cuDeviceGetPCIBusId)                                     \
  EACH(device_attribute, true, cuDeviceGetAttribute)                                   \
  EACH(device_memory, false, cuDeviceTotalMem_v2)                                      \
  EACH(context_retain, true, cuDevicePrimaryCtxRetain)                                 \
  EACH(context_release, true, cuDevicePrimaryCtxRelease_v2, cuDevicePrimaryCtxRelease) \
  EACH(context_set, true, cuCtxSetCurrent)                                             \
  EACH(context_push, false, cuCtxPushCurrent_v2)                                       \
  EACH(context_pop, false, cuCtxPopCurrent_v2)                                         \
  EACH(memory_info, true, cuMemGetInfo_v2)                                             \
  EACH(memory_allocate, true, cuMemAlloc_v2)                                           \
  EACH(memory_free, true, cuMemFree_v2)                                                \
  EACH(host_allocate, true, cuMemHostAlloc)                                            \
  EACH(host_free, true, cuMemFreeHost)                                                 \
  EACH(stream_create, true, cuStreamCreate)                                            \
  EACH(stream_destroy, true, cuStreamDestroy_v2)                                       \
  EACH(stream_wait, true, cuStreamSynchronize)                                         \
  EACH(event_create, true, cuEventCreate)                                              \
  EACH(event_destroy, true, cuEventDestroy_v2)                                         \
  EACH(event_record, true, cuEventRecord)                                              \
  EACH(event_wait, true, cuEventSynchronize)                                           \
  EACH(copy, true, cuMemcpyDtoDAsync_v2)                                               \
  EACH(copy_rows, true, cuMemcpy2DAsync_v2)                                            \
  EACH(copy_in, true, cuMemcpyHtoDAsync_v2)                                            \
  EACH(copy_out, true, cuMemcpyDtoHAsync_v2)                                           \
  EACH(fill, true, cuMemsetD8Async)                                                    \
  EACH(module_load, true, cuModuleLoadDataEx)                                          \
  EACH(module_unload, true, cuModuleUnload)                                            \
  EACH(module_function, true, cuModuleGetFunction)                                     \
  EACH(function_get, true, cuFuncGetAttribute)                                         \
  EACH(function_set, true, cuFuncSetAttribute)                                         \
  EACH(launch, true, cuLaunchKernel)                                                   \
  EACH(launch_cooperative, false, cuLaunchCooperativeKernel)                           \
  EACH(blocks_per_multiprocessor, false, cuOccupancyMaxActiveBlocksPerMultiprocessor)  \
  EACH(capture_begin, false, cuStreamBeginCapture_v2)                                  \
  EACH(capture_end, false, cuStreamEndCapture)                                         \
  EACH(graph_destroy, false, cuGraphDestroy)                                           \
  EACH(graph_instantiate, false, cuGraphInstantiateWithFlags)                          \
  EACH(graph_instantiate_old, false, cuGraphInstantiate_v2, cuGraphInstantiate)        \
  EACH(graph_launch, false, cuGraphLaunch)                                             \
  EACH(graph_exec_destroy, false, cuGraphExecDestroy)

}  // namespace moshi
