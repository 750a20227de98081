#define MOSHI_WIDTH 8
#define MOSHI_DOT MOSHI_VNNI
#define MOSHI_KERNELS kKernelsAvx2Vnni
#define MOSHI_ISA "avx2-vnni"
#include "cpu/kernels.inc"
