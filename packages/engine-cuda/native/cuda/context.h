// A GPU's context. Every call into the driver for that GPU goes through it: it is made current on the calling thread,
// always, since other code of the process may use another one there; and after a failure that kills it no call reaches
// the driver any more.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "cuda/driver.h"

namespace moshi {

// What the driver answered, as against a mistake of the caller's.
class DriverError : public Error {
 public:
  explicit DriverError(const Error& error) : Error(error) {}
};

class Context {
 public:
  // Of the GPU with that index, as the driver counts.
  Context(std::shared_ptr<const DriverApi> api, int index);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const DriverApi& api() const { return *api_; }
  int attribute(cu::Attribute which) const;
  std::string name() const;
  bool lost() const { return lost_.has_value(); }

  // Throws DriverError when it fails. `name` is for the message.
  template <typename... P, typename... A>
  void call(const char* name, cu::Status (*function)(P...), A... arguments) {
    check(ask(function, arguments...), name);
  }
  // The status instead.
  template <typename... P, typename... A>
  cu::Status ask(cu::Status (*function)(P...), A... arguments) {
    enter();
    return function(arguments...);
  }
  // Throws what a status means; a deadly one is kept.
  void check(cu::Status status, const char* name);
  // For destructors: never throws, calls whatever else fails, and does nothing for a context that is dead, which takes
  // along all that was its own.
  template <typename... P, typename... A>
  void quietly(const char* name, cu::Status (*function)(P...), A... arguments) noexcept {
    try {
      if (lost()) return;
      api_->context_set(context_);
      check(function(arguments...), name);
    } catch (const Error&) {
    }
  }

 private:
  void enter();

  std::shared_ptr<const DriverApi> api_;
  cu::Device device_ = 0;
  cu::Context context_ = nullptr;
  std::optional<DriverError> lost_;
};

// What the driver made, and takes back by `release`.
template <typename T>
class Owned {
 public:
  Owned() = default;
  Owned(Context& context, const char* name, cu::Status (*release)(T), T value)
      : context_(&context), name_(name), release_(release), value_(value) {}
  Owned(Owned&& other) noexcept { *this = std::move(other); }
  Owned& operator=(Owned&& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(name_, other.name_);
    std::swap(release_, other.release_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~Owned() {
    if (value_) context_->quietly(name_, release_, value_);
  }
  T get() const { return value_; }
  explicit operator bool() const { return value_; }

 private:
  Context* context_ = nullptr;
  const char* name_ = nullptr;
  cu::Status (*release_)(T) = nullptr;
  T value_ = {};
};

}  // namespace moshi
