// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the engine's documented
// generator. Counter based: a draw depends on (seed, step, stream) alone, never on what other sessions drew.
#pragma once

#include <cstdint>

namespace moshi {

struct Philox {
  uint32_t word[4];
};

inline Philox philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
  uint32_t c[4] = {static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
                   static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c[0], b = uint64_t{0xCD9E8D57u} * c[2];
    const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
                              static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c[0], c[1], c[2], c[3]}};
}

// One uniform in [0, 1) with 24 bits for the given step and stream (0 = text, 1 + k = audio codebook k).
inline float philox_uniform(uint64_t seed, uint64_t step, uint32_t stream) {
  return static_cast<float>(philox(seed, step, stream).word[0] >> 8) * 0x1p-24f;
}

}  // namespace moshi
