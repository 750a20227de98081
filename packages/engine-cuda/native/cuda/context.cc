#include "cuda/context.h"

#include <array>

namespace moshi {

Context::Context(std::shared_ptr<const DriverApi> api, int index) : api_(std::move(api)) {
  if (!api_->found)
    throw Error(kGpuDriver, "there is no NVIDIA driver (" + cuda_library() + "): install one, or run on the CPU");
  if (const char* missing = api_->missing())
    throw Error(kGpuDriver, "the NVIDIA driver lacks " + std::string(missing) + ": install driver 384 or newer");
  api_->check(api_->init(0), "cuInit");
  int count = 0;
  api_->check(api_->device_count(&count), "cuDeviceGetCount");
  if (index < 0 || index >= count)
    throw Error(kBadOption, "there is no GPU " + std::to_string(index) + ": the driver shows " + std::to_string(count) +
                                ", counted from 0 (see `moshi doctor`)");
  api_->check(api_->device(&device_, index), "cuDeviceGet");
  api_->check(api_->context_retain(&context_, device_), "cuDevicePrimaryCtxRetain");
}

// Also of a dead one: the GPU can be used again once nobody holds it.
Context::~Context() {
  api_->context_release(device_);
}

int Context::attribute(cu::Attribute which) const {
  int value = 0;
  api_->check(api_->device_attribute(&value, which, device_), "cuDeviceGetAttribute");
  return value;
}

std::string Context::name() const {
  std::array<char, 256> text{};
  if (!api_->device_name || api_->device_name(text.data(), text.size() - 1, device_) != cu::kSuccess) return "";
  return printable(text.data());
}

void Context::enter() {
  if (lost_) throw *lost_;
  check(api_->context_set(context_), "cuCtxSetCurrent");
}

void Context::check(cu::Status status, const char* name) {
  if (status == cu::kSuccess) return;
  const DriverError error(api_->failure(status, name));
  if (error.code() == kGpuLost && !lost_) lost_ = error;
  throw error;
}

}  // namespace moshi
