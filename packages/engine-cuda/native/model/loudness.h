// Loudness of a recording after ITU-R BS.1770-4, as the reference's meter computes it: K-weighting, blocks of 400 ms
// that overlap by three quarters, gates at -70 LUFS and 10 LU below the mean.
#pragma once

#include <span>
#include <vector>

namespace moshi {

// LUFS of mono samples at `rate` Hz; -infinity for silence. The recording must be longer than 400 ms.
double integrated_loudness(std::span<const float> pcm, double rate);

// The samples scaled so that they have `target` LUFS. Throws Error(kBadOption) on silence and on less than 400 ms.
std::vector<double> normalize_loudness(std::span<const float> pcm, double rate, double target);

}  // namespace moshi
