#include "cuda/host/emulated_state.h"

#include <stdexcept>

namespace moshi::gpu::host {

namespace {

std::recursive_mutex mutex;
std::unique_ptr<Emulated> the_driver;
EmulatedReport last_report;
thread_local cu::Context current_context = nullptr;

}  // namespace

Emulated::Emulated(const EmulatedOptions& options) : options(options) {
  for (int i = 0; i < options.cards; ++i)
    cards.push_back(std::make_unique<EmulatedCard>(options.memory, options.sealed));
}

void start_emulated(const EmulatedOptions& options) {
  const std::lock_guard lock(mutex);
  if (the_driver) throw std::logic_error("a process has one emulated driver at a time");
  the_driver = std::make_unique<Emulated>(options);
}

void stop_emulated() {
  const std::lock_guard lock(mutex);
  for (const auto& card : the_driver->cards)
    if (card->holders > 0) the_driver->mistake("a context was not released");
  last_report = the_driver->report;
  the_driver.reset();
}

EmulatedReport emulated_report() {
  const std::lock_guard lock(mutex);
  if (!the_driver) return last_report;
  EmulatedReport out = the_driver->report;
  for (const auto& card : the_driver->cards) out.memory += card->memory.used();
  return out;
}

void set_emulated_fault(const DriverFault& fault) {
  const std::lock_guard lock(mutex);
  the_driver->options.fault = fault;
  the_driver->matching = 0;
  the_driver->report.failed = false;
}

Call::Call(const char* name, Kind kind) : name_(name), kind_(kind), lock_(mutex) {
  if (!the_driver) {
    refusal_ = cu::kDeinitialized;
    return;
  }
  card_ = card_of(current_context);
  ++the_driver->report.calls;
  const DriverFault& fault = the_driver->options.fault;
  if (fault.which == 0 || (!fault.call.empty() && fault.call != name)) return;
  const int number = ++the_driver->matching;
  if (number != fault.which && !(fault.lasting && number > fault.which)) return;
  refusal_ = fault.status;
  the_driver->report.failed = true;
  if (card_ && DriverApi().failure(refusal_, name).code() == kGpuLost) card_->dead = refusal_;
}

bool Call::begins() {
  if (!the_driver || (refusal_ != cu::kSuccess && kind_ == Makes)) return false;
  if (the_driver->initialized) return true;
  refusal_ = wrong("comes before cuInit", cu::kNotInitialized);
  return false;
}

bool Call::on_card() {
  if (!begins()) return false;
  if (!card_) refusal_ = wrong("comes from a thread without a context", cu::kInvalidContext);
  if (card_ && card_->dead != cu::kSuccess) refusal_ = card_->dead;
  return card_ && card_->dead == cu::kSuccess;
}

bool Call::outside_captures() {
  if (!on_card()) return false;
  bool outside = true;
  for (auto& [handle, stream] : card_->streams) {
    if (!stream.capture || stream.capture->thread != std::this_thread::get_id()) continue;
    stream.capture->spoiled = true;
    outside = false;
  }
  if (!outside) refusal_ = cu::kCaptureUnsupported;
  return outside;
}

cu::Status Call::wrong(const std::string& what, cu::Status status) const {
  the_driver->mistake(std::string(name_) + ": " + what);
  return answer(status);
}

Emulated& Call::driver() {
  return *the_driver;
}

cu::Context Call::current() {
  return current_context;
}

void Call::make_current(cu::Context context) {
  current_context = context;
}

EmulatedCard* Call::card_of(cu::Context context) const {
  for (const auto& card : the_driver->cards)
    if (card->holders > 0 && card->context == context) return card.get();
  return nullptr;
}

EmulatedStream* Call::stream(cu::Stream handle) const {
  EmulatedStream* out = look_up(card_->streams, handle);
  if (!out) wrong("there is no such stream");
  return out;
}

cu::Status Call::submit(cu::Stream handle, Work work) const {
  EmulatedStream* to = stream(handle);
  if (!to) return cu::kInvalidHandle;
  if (to->capture)
    to->capture->work.push_back(std::move(work));
  else
    to->queue.push_back(std::move(work));
  return answer();
}

cu::Status Call::run_first(EmulatedStream& stream) const {
  const Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  try {
    work();
    return cu::kSuccess;
  } catch (const DeadlyFault& fault) {
    card_->dead = fault.status;
    the_driver->last_words = fault.text;
  } catch (const std::exception& error) {
    card_->dead = cu::kLaunchFailed;
    the_driver->last_words = error.what();
  }
  for (auto& [handle, other] : card_->streams) other.queue.clear();
  return card_->dead;
}

cu::Status Call::drain() const {
  for (auto& [handle, stream] : card_->streams)
    if (const cu::Status status = drain(stream, [] { return false; }); status != cu::kSuccess) return status;
  return cu::kSuccess;
}

}  // namespace moshi::gpu::host
