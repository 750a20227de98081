// An NVIDIA driver for tests: both of its libraries in one, with two cards, or with one of the faults that happen.
// Compiled by gpu.test.ts, with at most one of these:
//   FAKE_MISMATCH  FAKE_NO_DEVICE  FAKE_NO_PERMISSION  FAKE_OLD  FAKE_CRASH  FAKE_HANG  FAKE_MIG  FAKE_BARE
// FAKE_BARE has the functions without which nothing can be said, and writes to stdout as some drivers do.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

#ifndef FAKE_BARE
constexpr unsigned long long kTotal[] = {24ull << 30, 8ull << 30};

int card_of(void* device) {
  return device == reinterpret_cast<void*>(2);
}

// As a broken driver might leave a text.
int without_end(char* out, int size, const char* text) {
  std::memset(out, 'x', static_cast<size_t>(size));
  std::memcpy(out, text, std::strlen(text));
  return 0;
}
#endif

}  // namespace

EXPORT int cuInit(unsigned) {
#if defined FAKE_CRASH
  std::fputs("fake driver: out of luck\n", stderr);
  std::abort();
#elif defined FAKE_HANG
  for (;;) sleep(1000);
#elif defined FAKE_MISMATCH
  return 803;
#elif defined FAKE_NO_PERMISSION
  return 800;
#elif defined FAKE_NO_DEVICE
  return 100;
#else
#ifdef FAKE_BARE
  std::puts("moshi-gpus:noise");
#endif
  return 0;
#endif
}

EXPORT int cuDriverGetVersion(int* version) {
#ifdef FAKE_OLD
  *version = 8000;
#else
  *version = 12040;
#endif
  return 0;
}

EXPORT int cuDeviceGetCount(int* count) {
  *count = 2;
  return 0;
}

EXPORT int cuDeviceGet(int* device, int index) {
  *device = index;
  return 0;
}

EXPORT int cuDeviceGetAttribute(int* value, int which, int device) {
  switch (which) {
    case 16:
      *value = device == 0 ? 128 : 36;
      return 0;
    case 32:
      *value = device == 0;
      return 0;
    case 36:  // kHz; the second card keeps it to itself
      *value = device == 0 ? 10'501'000 : 0;
      return 0;
    case 37:
      *value = 384;
      return 0;
    case 75:
      *value = device == 0 ? 8 : 7;
      return 0;
    case 76:
      *value = device == 0 ? 9 : 5;
      return 0;
    default:
      return 1;
  }
}

#ifndef FAKE_BARE
EXPORT int cuDeviceGetName(char* name, int size, int device) {
  if (device == 1) return without_end(name, size, "Fake \x1b[31m\xff ");
  return std::snprintf(name, static_cast<size_t>(size), "NVIDIA GeForce RTX 4090") < 0;
}

EXPORT int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
  for (int i = 0; i < 16; ++i) uuid[i] = static_cast<unsigned char>(16 * device + i);
  return 0;
}

EXPORT int cuDeviceGetPCIBusId(char* address, int size, int device) {
  return std::snprintf(address, static_cast<size_t>(size), "0000:0%d:00.0", device + 1) < 0;
}

EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int device) {
#ifdef FAKE_MIG
  *bytes = kTotal[device] / 2;
#else
  *bytes = kTotal[device] - 1000;
#endif
  return 0;
}

EXPORT int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = context;
  return 0;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) {
  return 0;
}
EXPORT int cuCtxPushCurrent_v2(void*) {
  return 0;
}
EXPORT int cuCtxPopCurrent_v2(void**) {
  return 0;
}
EXPORT int cuMemGetInfo_v2(size_t* free, size_t* total) {
  *free = 3u << 30;
  *total = 4u << 30;
  return 0;
}

EXPORT int nvmlInit_v2() {
#ifdef FAKE_MISMATCH
  return 18;
#else
  return 0;
#endif
}

EXPORT int nvmlShutdown() {
  return 0;
}

EXPORT int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  return std::snprintf(text, size, "550.54.15") < 0;
}

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char* address, void** device) {
  *device = reinterpret_cast<void*>(static_cast<size_t>(address[6] - '0'));
  return 0;
}

struct Memory {
  unsigned long long total, free, used;
};

EXPORT int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  const unsigned long long total = kTotal[card_of(device)];
  *memory = {total, total / 2, total / 2};
  return 0;
}

EXPORT int nvmlDeviceGetMaxClockInfo(void*, int kind, unsigned* mhz) {
  *mhz = kind == 2 ? 7000 : 1;
  return 0;
}

EXPORT int nvmlDeviceGetMemoryBusWidth(void*, unsigned* bits) {
  *bits = 256;
  return 0;
}

EXPORT int nvmlDeviceGetMigMode(void* device, unsigned* now, unsigned* next) {
#ifdef FAKE_MIG
  *now = *next = !card_of(device);
  return 0;
#else
  *now = *next = 0;
  return card_of(device) ? 3 : 0;
#endif
}

struct Process {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, Process* processes) {
  if (card_of(device)) return 4;
  processes[0] = {4242, 6'000'000'000, 0, 0};
  processes[1] = {4343, ~0ull, 0, 0};
  processes[2] = {static_cast<unsigned>(getpid()), 1, 0, 0};
  *count = 3;
  return 0;
}
#endif
