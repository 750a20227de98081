#define MOSHI_WIDTH 4
#if defined(__x86_64__)
#define MOSHI_DOT MOSHI_PAIRS
#else
#define MOSHI_DOT MOSHI_PLAIN
#endif
#define MOSHI_KERNELS kKernelsBaseline
#define MOSHI_ISA "baseline"
#include "cpu/kernels.inc"
