#include "model/seanet.h"

#include <cstring>

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

std::span<const float> Seanet::forward(SeanetState& state, const float* x, int64_t time, int64_t channels) const {
  Scratch *here = &ping_, *there = &pong_;
  int64_t count = time * channels;
  float* now = here->get(backend_, count);
  std::memcpy(now, x, static_cast<size_t>(count) * sizeof(float));
  size_t next = 0;
  const auto advance = [&](const auto& conv, int64_t new_time) {
    float* out = there->get(backend_, new_time * conv.outputs());
    conv.forward(state[next++], now, time, out);
    time = new_time;
    channels = conv.outputs();
    count = time * channels;
    now = out;
    std::swap(here, there);
  };
  for (const Stage& stage : stages_) {
    if (std::holds_alternative<Elu>(stage)) {
      backend_.activate(config_.activation, now, now, count, config_.alpha);
    } else if (const auto* conv = std::get_if<Conv>(&stage)) {
      advance(*conv, time / conv->stride());
    } else if (const auto* transposed = std::get_if<ConvTranspose>(&stage)) {
      advance(*transposed, time * transposed->stride());
    } else {
      const Residual& block = std::get<Residual>(stage);
      float* inner = inner_.get(backend_, count);
      float* middle = middle_.get(backend_, time * block.first.outputs());
      backend_.activate(config_.activation, now, inner, count, config_.alpha);
      block.first.forward(state[next++], inner, time, middle);
      backend_.activate(config_.activation, middle, middle, time * block.first.outputs(), config_.alpha);
      block.second.forward(state[next++], middle, time, inner);
      if (block.shortcut) {
        float* skip = there->get(backend_, count);
        block.shortcut->forward(state[next++], now, time, skip);
        now = skip;
        std::swap(here, there);
      }
      backend_.add_scaled(now, inner, nullptr, time, channels);
    }
  }
  return {now, static_cast<size_t>(count)};
}

}  // namespace moshi
