#include "model/seanet.h"

#include <algorithm>

#include "model/workspace.h"

namespace moshi {

void Seanet::add_residuals(const Weights& weights, const std::string& prefix, int64_t channels) {
  int dilation = 1;
  for (int j = 0; j < config_.residual_layers; ++j) {
    if (j > 0) dilation *= config_.dilation_base;
    const std::string name = prefix + std::to_string(stages_.size()) + ".";
    const int64_t hidden = channels / config_.compress;
    Residual block{Conv(weights, name + "block.1.conv.conv",
                        {.in = channels, .out = hidden, .kernel = config_.residual_kernel, .dilation = dilation}),
                   Conv(weights, name + "block.3.conv.conv", {.in = hidden, .out = channels, .kernel = 1}),
                   std::nullopt};
    if (!config_.true_skip)
      block.shortcut.emplace(weights, name + "shortcut.conv.conv",
                             ConvShape{.in = channels, .out = channels, .kernel = 1});
    stages_.emplace_back(std::move(block));
  }
}

// Stage indices count like the reference's nn.Sequential, because the weight names contain them.
Seanet Seanet::encoder(const Weights& weights, const MimiConfig& mimi) {
  const auto& config = mimi.seanet;
  Seanet net(weights, config);
  const std::string prefix = "encoder.model.";
  const auto name = [&] { return prefix + std::to_string(net.stages_.size()) + ".conv.conv"; };
  int64_t channels = config.filters;
  net.stages_.emplace_back(Conv(weights, name(), {.in = config.channels, .out = channels, .kernel = config.kernel}));
  for (auto ratio = config.ratios.rbegin(); ratio != config.ratios.rend(); ++ratio) {
    net.add_residuals(weights, prefix, channels);
    net.stages_.emplace_back(Elu{});
    net.stages_.emplace_back(
        Conv(weights, name(), {.in = channels, .out = 2 * channels, .kernel = 2 * *ratio, .stride = *ratio}));
    channels *= 2;
  }
  net.stages_.emplace_back(Elu{});
  net.stages_.emplace_back(
      Conv(weights, name(), {.in = channels, .out = config.dimension, .kernel = config.last_kernel}));
  return net;
}

Seanet Seanet::decoder(const Weights& weights, const MimiConfig& mimi) {
  const auto& config = mimi.seanet;
  Seanet net(weights, config);
  const std::string prefix = "decoder.model.";
  const auto name = [&](const char* kind) { return prefix + std::to_string(net.stages_.size()) + kind; };
  int64_t channels = config.filters << config.ratios.size();
  net.stages_.emplace_back(
      Conv(weights, name(".conv.conv"), {.in = config.dimension, .out = channels, .kernel = config.kernel}));
  for (const int ratio : config.ratios) {
    net.stages_.emplace_back(Elu{});
    net.stages_.emplace_back(ConvTranspose(
        weights, name(".convtr.convtr"), {.in = channels, .out = channels / 2, .kernel = 2 * ratio, .stride = ratio}));
    channels /= 2;
    net.add_residuals(weights, prefix, channels);
  }
  net.stages_.emplace_back(Elu{});
  net.stages_.emplace_back(
      Conv(weights, name(".conv.conv"), {.in = channels, .out = config.channels, .kernel = config.last_kernel}));
  return net;
}

SeanetState Seanet::make_state() const {
  SeanetState state;
  for (const Stage& stage : stages_) {
    if (const auto* conv = std::get_if<Conv>(&stage)) state.push_back(conv->make_state());
    if (const auto* conv = std::get_if<ConvTranspose>(&stage)) state.push_back(conv->make_state());
    if (const auto* block = std::get_if<Residual>(&stage)) {
      state.push_back(block->first.make_state());
      state.push_back(block->second.make_state());
      if (block->shortcut) state.push_back(block->shortcut->make_state());
    }
  }
  return state;
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

void Seanet::forward(SeanetState& state, const float* x, int64_t time, int64_t channels, float* y) const {
  Working memory(backend_);
  const int64_t widest = this->widest(time, channels);
  float *now = memory.floats(widest), *next = memory.floats(widest), *middle = memory.floats(widest);
  backend_.copy(now, x, static_cast<size_t>(time * channels));
  auto conv_state = state.begin();
  const auto advance = [&](const auto& conv, int64_t new_time) {
    conv.forward(*conv_state++, now, time, next);
    time = new_time;
    channels = conv.outputs();
    std::swap(now, next);
  };
  const auto activate = [&](const float* from, float* to, int64_t width) {
    backend_.activate(config_.activation, from, to, time * width, config_.alpha);
  };
  for (const Stage& stage : stages_) {
    if (std::holds_alternative<Elu>(stage)) {
      activate(now, now, channels);
    } else if (const auto* conv = std::get_if<Conv>(&stage)) {
      advance(*conv, time / conv->stride());
    } else if (const auto* transposed = std::get_if<ConvTranspose>(&stage)) {
      advance(*transposed, time * transposed->stride());
    } else {
      const Residual& block = std::get<Residual>(stage);
      activate(now, next, channels);
      block.first.forward(*conv_state++, next, time, middle);
      activate(middle, middle, block.first.outputs());
      block.second.forward(*conv_state++, middle, time, next);
      if (block.shortcut) {
        block.shortcut->forward(*conv_state++, now, time, middle);
        std::swap(now, middle);
      }
      backend_.add_scaled(now, next, nullptr, time, channels);
    }
  }
  backend_.copy(y, now, static_cast<size_t>(time * channels));
}

}  // namespace moshi
