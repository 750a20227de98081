// Which sanitizer the host runtime is built with, and what of their interfaces it calls.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GPU_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define GPU_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define GPU_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define GPU_TSAN 1
#endif

#if defined(GPU_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif
#if defined(GPU_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace moshi::gpu::host {

#if defined(GPU_ASAN)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif
#if defined(GPU_TSAN)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

}  // namespace moshi::gpu::host
