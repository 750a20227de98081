#include "cuda/host/kernel_table.h"

#include <algorithm>
#include <tuple>

#include "cuda/kernels/kernels.h"

namespace moshi::gpu::host {

namespace {

template <typename... P, size_t... I>
std::function<void()> bound(void (*kernel)(P...), void** parameters, std::index_sequence<I...>) {
  return [kernel, values = std::tuple<P...>(*static_cast<P*>(parameters[I])...)] { std::apply(kernel, values); };
}
template <typename... P>
std::function<void()> bound(void (*kernel)(P...), void** parameters) {
  return bound(kernel, parameters, std::index_sequence_for<P...>());
}

#define KERNEL(name) {#name, [](void** parameters) { return bound(name, parameters); }},
#define LINEAR(Form, form)  \
  KERNEL(linear_##form##_1) \
  KERNEL(linear_##form##_2) \
  KERNEL(linear_##form##_3) \
  KERNEL(linear_##form##_4) \
  KERNEL(linear_##form##_5) KERNEL(linear_##form##_6) KERNEL(linear_##form##_7) KERNEL(linear_##form##_8)
#define STAGES(Form, form) KERNEL(stages_##form)
#define GEMM(Form, form) KERNEL(gemm_##form##_64x64) KERNEL(gemm_##form##_32x128) KERNEL(gemm_##form##_32x32)
#define GEMM75(Form, form) \
  KERNEL(gemm_##form##_mma75_64x64) KERNEL(gemm_##form##_mma75_32x64) KERNEL(gemm_##form##_mma75_32x16)
#define GEMM80(Form, form)           \
  KERNEL(gemm_##form##_mma80_128x64) \
  KERNEL(gemm_##form##_mma80_64x64) KERNEL(gemm_##form##_mma80_32x64) KERNEL(gemm_##form##_mma80_32x16)

// All that kernels.h declares.
constexpr HostKernel kKernels[] = {
    // clang-format off
    KERNEL(rms_norm) KERNEL(rms_norm_codes) KERNEL(layer_norm)
    KERNEL(activate) KERNEL(gate) KERNEL(gate_codes) KERNEL(add_scaled) KERNEL(add_bias) KERNEL(subtract)
    KERNEL(embed_f32) KERNEL(embed_f16) KERNEL(embed_bf16) KERNEL(embed_q8) KERNEL(clear_absent)
    KERNEL(append_f32) KERNEL(append_f16) KERNEL(append_q8)
    KERNEL(attend_f32) KERNEL(attend_f16) KERNEL(attend_q8) KERNEL(attend_join)
    KERNEL(window) KERNEL(scale_channels) KERNEL(overlap_add)
    KERNEL(nearest_parts) KERNEL(nearest_choose)
    KERNEL(draw)
    KERNEL(quantize_rows)
    KERNEL(meet_once)
    MOSHI_LINEAR_FORMS(STAGES)
    MOSHI_LINEAR_FORMS(LINEAR)
    MOSHI_LINEAR_FORMS(GEMM)
    MOSHI_LINEAR_CODES(GEMM75)
    MOSHI_GEMM_MMA80(GEMM80)
    // clang-format on
};

}  // namespace

std::span<const HostKernel> host_kernels() {
  return kKernels;
}

const HostKernel* host_kernel(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kKernels), std::end(kKernels), [&](const HostKernel& k) { return k.name == name; });
  return found == std::end(kKernels) ? nullptr : found;
}

}  // namespace moshi::gpu::host
