// The emulated driver's streams, events and graphs.
#include "cuda/host/emulated_state.h"

namespace moshi::gpu::host {

EMULATED cuStreamCreate(cu::Stream* out, unsigned) {
  Call call("cuStreamCreate");
  if (!call.outside_captures()) return call.answer();
  *out = call.driver().handle<cu::Stream>();
  call.card().streams.try_emplace(*out);
  return cu::kSuccess;
}

EMULATED cuStreamDestroy_v2(cu::Stream handle) {
  Call call("cuStreamDestroy", Call::GivesBack);
  if (!call.on_card()) return call.answer();
  EmulatedStream* stream = call.stream(handle);
  if (!stream) return call.answer(cu::kInvalidHandle);
  const cu::Status status = call.drain(*stream, [] { return false; });
  call.card().streams.erase(handle);
  return call.answer(status);
}

EMULATED cuStreamSynchronize(cu::Stream handle) {
  Call call("cuStreamSynchronize");
  if (!call.on_card()) return call.answer();
  EmulatedStream* stream = call.stream(handle);
  if (!stream) return cu::kInvalidHandle;
  if (stream->capture) {
    stream->capture->spoiled = true;
    return cu::kCaptureUnsupported;
  }
  return call.drain(*stream, [] { return false; });
}

EMULATED cuEventCreate(cu::Event* out, unsigned) {
  Call call("cuEventCreate");
  if (!call.on_card()) return call.answer();
  *out = call.driver().handle<cu::Event>();
  call.card().events.try_emplace(*out);
  return cu::kSuccess;
}

EMULATED cuEventDestroy_v2(cu::Event handle) {
  Call call("cuEventDestroy", Call::GivesBack);
  if (!call.on_card()) return call.answer();
  if (call.card().events.erase(handle) == 0) return call.wrong("there is no such event", cu::kInvalidHandle);
  return call.answer();
}

EMULATED cuEventRecord(cu::Event handle, cu::Stream stream) {
  Call call("cuEventRecord");
  if (!call.outside_captures()) return call.answer();
  EmulatedEvent* event = look_up(call.card().events, handle);
  if (!event) return call.wrong("there is no such event", cu::kInvalidHandle);
  const size_t number = ++event->recorded;
  event->stream = stream;
  EmulatedCard& card = call.card();
  return call.submit(stream, [&card, handle, number] {
    if (EmulatedEvent* passed = look_up(card.events, handle)) passed->passed = number;
  });
}

EMULATED cuEventSynchronize(cu::Event handle) {
  Call call("cuEventSynchronize");
  if (!call.outside_captures()) return call.answer();
  const EmulatedEvent* event = look_up(call.card().events, handle);
  if (!event) return call.wrong("there is no such event", cu::kInvalidHandle);
  if (event->recorded == event->passed) return cu::kSuccess;
  EmulatedStream* stream = call.stream(event->stream);
  return stream ? call.drain(*stream, [&] { return event->passed == event->recorded; }) : cu::kInvalidHandle;
}

EMULATED cuStreamBeginCapture_v2(cu::Stream handle, int) {
  Call call("cuStreamBeginCapture");
  if (!call.on_card()) return call.answer();
  EmulatedStream* stream = call.stream(handle);
  if (!stream) return cu::kInvalidHandle;
  if (stream->capture) return call.wrong("the stream is being recorded already");
  stream->capture = Capture{.thread = std::this_thread::get_id()};
  return cu::kSuccess;
}

EMULATED cuStreamEndCapture(cu::Stream handle, cu::Graph* out) {
  // Also the end of what is refused: nothing is recorded any more.
  Call call("cuStreamEndCapture", Call::GivesBack);
  *out = nullptr;
  if (!call.on_card()) return call.answer();
  EmulatedStream* stream = call.stream(handle);
  if (!stream) return cu::kInvalidHandle;
  if (!stream->capture) return call.wrong("nothing is being recorded", cu::kCaptureUnmatched);
  if (stream->capture->thread != std::this_thread::get_id()) return call.answer(cu::kCaptureWrongThread);
  Capture capture = std::move(*stream->capture);
  stream->capture.reset();
  if (capture.spoiled || call.answer() != cu::kSuccess) return call.answer(cu::kCaptureInvalidated);
  *out = call.driver().handle<cu::Graph>();
  call.card().graphs[*out] = {std::make_shared<std::vector<Work>>(std::move(capture.work)), nullptr};
  return cu::kSuccess;
}

EMULATED cuGraphDestroy(cu::Graph handle) {
  Call call("cuGraphDestroy", Call::GivesBack);
  if (!call.on_card()) return call.answer();
  if (call.card().graphs.erase(handle) == 0) return call.wrong("there is no such graph", cu::kInvalidHandle);
  return call.answer();
}

EMULATED cuGraphInstantiateWithFlags(cu::GraphExec* out, cu::Graph handle, unsigned long long) {
  Call call("cuGraphInstantiate");
  if (!call.on_card()) return call.answer();
  const EmulatedGraph* graph = look_up(call.card().graphs, handle);
  if (!graph) return call.wrong("there is no such graph", cu::kInvalidHandle);
  *out = call.driver().handle<cu::GraphExec>();
  call.card().execs[*out] = {graph->work, std::make_shared<int>(0)};
  return cu::kSuccess;
}

EMULATED cuGraphInstantiate_v2(cu::GraphExec* out, cu::Graph graph, cu::Node*, char*, size_t) {
  return cuGraphInstantiateWithFlags(out, graph, 0);
}

EMULATED cuGraphLaunch(cu::GraphExec handle, cu::Stream stream) {
  Call call("cuGraphLaunch");
  if (!call.outside_captures()) return call.answer();
  const EmulatedGraph* graph = look_up(call.card().execs, handle);
  if (!graph) return call.wrong("there is no such graph", cu::kInvalidHandle);
  ++*graph->playing;
  ++call.driver().report.graphs;
  return call.submit(stream, [graph = *graph] {
    --*graph.playing;
    for (const Work& work : *graph.work) work();
  });
}

EMULATED cuGraphExecDestroy(cu::GraphExec handle) {
  Call call("cuGraphExecDestroy", Call::GivesBack);
  if (!call.on_card()) return call.answer();
  const EmulatedGraph* graph = look_up(call.card().execs, handle);
  if (!graph) return call.wrong("there is no such graph", cu::kInvalidHandle);
  if (*graph->playing > 0) call.wrong("the graph still waits in a stream");
  call.card().execs.erase(handle);
  return call.answer();
}

}  // namespace moshi::gpu::host
