// SEANet, the convolutional encoder and decoder of Mimi, as a flat list of stages named like the published weights.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/config.h"
#include "model/convolution.h"

namespace moshi {

class Seanet {
 public:
  static Seanet encoder(const Weights& weights, const MimiConfig& config, StreamLayout& layout);
  static Seanet decoder(const Weights& weights, const MimiConfig& config, StreamLayout& layout);

  // x [streams, time, channels in] → y [streams, time out, channels out].
  void forward(const Streams& streams, const float* x, int64_t time, int64_t channels, float* y) const;

 private:
  struct Residual {
    Conv first, second;  // act, kernel k dilated, act, kernel 1
    std::optional<Conv> shortcut;
  };
  struct Elu {};
  using Stage = std::variant<Elu, Conv, ConvTranspose, Residual>;

  explicit Seanet(const Weights& weights, const MimiConfig::Seanet& config)
      : backend_(weights.backend()), config_(config) {}
  // Values of the widest tensor of a stream on the way.
  int64_t widest(int64_t time, int64_t channels) const;
  void add_residuals(const Weights& weights, const std::string& prefix, int64_t channels, StreamLayout& layout);

  Backend& backend_;
  MimiConfig::Seanet config_;
  std::vector<Stage> stages_;
};

}  // namespace moshi
