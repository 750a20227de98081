#define MOSHI_WIDTH 16
#define MOSHI_DOT MOSHI_VNNI
#define MOSHI_KERNELS kKernelsAvx512Vnni
#define MOSHI_ISA "avx512-vnni"
#include "cpu/kernels.inc"
