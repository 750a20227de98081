// Card's graphs: work that is recorded once and then given to the GPU in one call.
#include <algorithm>

#include "cuda/card.h"

namespace moshi {

void Card::program(std::span<const uint64_t> key, FunctionRef<void()> body) {
  // Part of a larger one, whose key holds this one's.
  if (inside_) return body();
  const struct Inside {
    explicit Inside(bool& flag) : flag(flag) { flag = true; }
    ~Inside() { flag = false; }
    bool& flag;
  } inside(inside_);
  if (!graphs_) return body();
  const auto found = recordings_.find(key);
  if (found == recordings_.end()) {
    // The first time loads the kernels, which no recording may.
    body();
    make_room();
    recordings_[{key.begin(), key.end()}].used = ++programs_;
    return;
  }
  Recording& recording = found->second;
  recording.used = ++programs_;
  if (!recording.graph && !record(recording, body)) return body();
  try {
    context_.call("cuGraphLaunch", context_.api().graph_launch, recording.graph.get(), stream_.get());
  } catch (const DriverError& error) {
    if (context_.lost()) throw;
    without_graphs(error.what());
    body();
  }
}

void Card::play(FunctionRef<void()> body) {
  const Owned<cu::GraphExec> graph = recorded(body);
  context_.call("cuGraphLaunch", context_.api().graph_launch, graph.get(), stream_.get());
  // Drivers before CUDA 12 do not keep a graph that is being played.
  wait();
}

// False when it cannot be recorded, and then nothing of body has happened.
bool Card::record(Recording& recording, FunctionRef<void()> body) {
  try {
    recording.graph = recorded(body);
    return true;
  } catch (const DriverError& error) {
    if (context_.lost()) throw;
    without_graphs(error.what());
    return false;
  }
}

Owned<cu::GraphExec> Card::recorded(FunctionRef<void()> body) {
  const DriverApi& driver = context_.api();
  context_.call("cuStreamBeginCapture", driver.capture_begin, stream_.get(), cu::kThreadLocal);
  Owned<cu::Graph> graph;
  const auto end = [&] {
    cu::Graph made = nullptr;
    // Whatever else fails, lest the stream stay in it.
    const cu::Status status = driver.capture_end(stream_.get(), &made);
    graph = {context_, "cuGraphDestroy", driver.graph_destroy, made};
    return status;
  };
  recording_ = true;
  try {
    body();
  } catch (...) {
    recording_ = false;
    if (!context_.lost()) end();
    throw;
  }
  recording_ = false;
  context_.check(end(), "cuStreamEndCapture");
  return instantiate(graph);
}

Owned<cu::GraphExec> Card::instantiate(const Owned<cu::Graph>& graph) {
  const DriverApi& driver = context_.api();
  cu::GraphExec out = nullptr;
  if (driver.graph_instantiate)
    context_.call("cuGraphInstantiate", driver.graph_instantiate, &out, graph.get(), 0ull);
  else
    context_.call("cuGraphInstantiate", driver.graph_instantiate_old, &out, graph.get(), nullptr, nullptr, size_t{0});
  return {context_, "cuGraphExecDestroy", driver.graph_exec_destroy, out};
}

// The one that was not used for the longest goes.
void Card::make_room() {
  if (recordings_.size() < kMostGraphs) return;
  const auto oldest = std::min_element(recordings_.begin(), recordings_.end(),
                                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  // Drivers before CUDA 12 do not keep a graph that is being played.
  if (oldest->second.graph) context_.call("cuStreamSynchronize", context_.api().stream_wait, stream_.get());
  recordings_.erase(oldest);
}

void Card::without_graphs(const std::string& why) {
  graphs_ = false;
  graph_note_ = "work is given to the GPU step by step, since it cannot be recorded: " + why;
  forget_programs();
}

void Card::forget_programs() {
  context_.quietly("cuStreamSynchronize", context_.api().stream_wait, stream_.get());
  recordings_.clear();
}

}  // namespace moshi
