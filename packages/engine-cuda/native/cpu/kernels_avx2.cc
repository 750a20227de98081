#define MOSHI_WIDTH 8
#define MOSHI_DOT MOSHI_PAIRS
#define MOSHI_KERNELS kKernelsAvx2
#define MOSHI_ISA "avx2"
#include "cpu/kernels.inc"
