#define MOSHI_WIDTH 4
#define MOSHI_DOT MOSHI_PLAIN
#define MOSHI_KERNELS kKernelsBaseline
#define MOSHI_ISA "baseline"
#include "cpu/kernels.inc"
