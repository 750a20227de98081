#define MOSHI_WIDTH 4
#define MOSHI_DOT MOSHI_NEON
#define MOSHI_KERNELS kKernelsDotprod
#define MOSHI_ISA "dotprod"
#include "cpu/kernels.inc"
