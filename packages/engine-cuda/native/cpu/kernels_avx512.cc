#define MOSHI_WIDTH 16
#define MOSHI_DOT MOSHI_PAIRS
#define MOSHI_KERNELS kKernelsAvx512
#define MOSHI_ISA "avx512"
#include "cpu/kernels.inc"
