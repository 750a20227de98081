// The functions between linear layers.
#pragma once

#include <cstdint>

namespace moshi {

enum class Activation : uint8_t { Identity, Elu, Gelu, Silu, Relu, Sigmoid, Tanh };

}  // namespace moshi
