#include "model/seanet.h"

#include <algorithm>

#include "model/workspace.h"

namespace moshi {

void Seanet::add_residuals(const Weights& weights, const std::string& prefix, int64_t channels, StreamLayout& layout) {
  int dilation = 1;
  for (int j = 0; j < config_.residual_layers; ++j) {
    if (j > 0) dilation *= config_.dilation_base;
    const std::string name = prefix + std::to_string(stages_.size()) + ".";
    const int64_t hidden = channels / config_.compress;
    Residual block{
        Conv(weights, name + "block.1.conv.conv",
             {.in = channels, .out = hidden, .kernel = config_.residual_kernel, .dilation = dilation}, layout),
        Conv(weights, name + "block.3.conv.conv", {.in = hidden, .out = channels, .kernel = 1}, layout), std::nullopt};
    if (!config_.true_skip)
      block.shortcut.emplace(weights, name + "shortcut.conv.conv",
                             ConvShape{.in = channels, .out = channels, .kernel = 1}, layout);
    stages_.emplace_back(std::move(block));
  }
}

// Stage indices count like the reference's nn.Sequential, because the weight names contain them.
Seanet Seanet::encoder(const Weights& weights, const MimiConfig& mimi, StreamLayout& layout) {
  const auto& config = mimi.seanet;
  Seanet net(weights, config);
  const std::string prefix = "encoder.model.";
  const auto name = [&] { return prefix + std::to_string(net.stages_.size()) + ".conv.conv"; };
  int64_t channels = config.filters;
  net.stages_.emplace_back(
      Conv(weights, name(), {.in = config.channels, .out = channels, .kernel = config.kernel}, layout));
  for (auto ratio = config.ratios.rbegin(); ratio != config.ratios.rend(); ++ratio) {
    net.add_residuals(weights, prefix, channels, layout);
    net.stages_.emplace_back(Elu{});
    net.stages_.emplace_back(
        Conv(weights, name(), {.in = channels, .out = 2 * channels, .kernel = 2 * *ratio, .stride = *ratio}, layout));
    channels *= 2;
  }
  net.stages_.emplace_back(Elu{});
  net.stages_.emplace_back(
      Conv(weights, name(), {.in = channels, .out = config.dimension, .kernel = config.last_kernel}, layout));
  return net;
}

Seanet Seanet::decoder(const Weights& weights, const MimiConfig& mimi, StreamLayout& layout) {
  const auto& config = mimi.seanet;
  Seanet net(weights, config);
  const std::string prefix = "decoder.model.";
  const auto name = [&](const char* kind) { return prefix + std::to_string(net.stages_.size()) + kind; };
  int64_t channels = config.filters << config.ratios.size();
  net.stages_.emplace_back(
      Conv(weights, name(".conv.conv"), {.in = config.dimension, .out = channels, .kernel = config.kernel}, layout));
  for (const int ratio : config.ratios) {
    net.stages_.emplace_back(Elu{});
    net.stages_.emplace_back(ConvTranspose(weights, name(".convtr.convtr"),
                                           {.in = channels, .out = channels / 2, .kernel = 2 * ratio, .stride = ratio},
                                           layout));
    channels /= 2;
    net.add_residuals(weights, prefix, channels, layout);
  }
  net.stages_.emplace_back(Elu{});
  net.stages_.emplace_back(Conv(weights, name(".conv.conv"),
                                {.in = channels, .out = config.channels, .kernel = config.last_kernel}, layout));
  return net;
}

int64_t Seanet::widest(int64_t time, int64_t channels) const {
  int64_t most = time * channels;
  for (const Stage& stage : stages_) {
    if (const auto* conv = std::get_if<Conv>(&stage)) time /= conv->stride(), channels = conv->outputs();
    if (const auto* conv = std::get_if<ConvTranspose>(&stage)) time *= conv->stride(), channels = conv->outputs();
    if (const auto* block = std::get_if<Residual>(&stage)) most = std::max(most, time * block->first.outputs());
    most = std::max(most, time * channels);
  }
  return most;
}

void Seanet::forward(const Streams& streams, const float* x, int64_t time, int64_t channels, float* y) const {
  Working memory(backend_);
  const int64_t n = streams.count(), widest = n * this->widest(time, channels);
  float *now = memory.floats(widest), *next = memory.floats(widest), *middle = memory.floats(widest);
  const auto is_elu = [&](size_t s) { return s < stages_.size() && std::holds_alternative<Elu>(stages_[s]); };
  // The first stage and the last are convolutions: one reads x, the other writes y.
  for (size_t s = 0; s < stages_.size(); ++s) {
    const float* from = s == 0 ? x : now;
    float* to = s + 1 == stages_.size() ? y : next;
    // A convolution does what follows it before it ends.
    const Activation after = is_elu(s + 1) ? config_.activation : Activation::Identity;
    if (const auto* conv = std::get_if<Conv>(&stages_[s])) {
      conv->forward(streams, from, time, to, {.after = after, .alpha = config_.alpha});
      time /= conv->stride();
      channels = conv->outputs();
      std::swap(now, next);
    } else if (const auto* transposed = std::get_if<ConvTranspose>(&stages_[s])) {
      transposed->forward(streams, from, time, to);
      time *= transposed->stride();
      channels = transposed->outputs();
      std::swap(now, next);
      if (is_elu(s + 1)) backend_.activate(after, now, now, n * time * channels, config_.alpha);
    } else if (const auto* block = std::get_if<Residual>(&stages_[s])) {
      block->first.forward(streams, now, time, middle,
                           {.before = config_.activation, .after = config_.activation, .alpha = config_.alpha});
      if (block->shortcut) {
        block->shortcut->forward(streams, now, time, next);
        std::swap(now, next);
      }
      block->second.forward(streams, middle, time, now, {.after = after, .alpha = config_.alpha, .adds = true});
    }
  }
}

}  // namespace moshi
