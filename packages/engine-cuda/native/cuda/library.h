// A shared library of the system, opened while the program runs: it may be missing, and so may any function in it.
#pragma once

#include <string>

#include "core/system.h"

namespace moshi {

class Library {
 public:
  explicit Library(const std::string& name) : handle_(system::open_library(name)) {}
  // Never closed: a driver keeps threads of its own.
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  explicit operator bool() const { return handle_ != nullptr; }

  // The first of these functions that is there; null when none is. Newer names go first.
  template <typename Function, typename... Names>
  void find(Function*& function, Names... names) const {
    function = nullptr;
    if (handle_) ((function || (function = reinterpret_cast<Function*>(system::find_function(handle_, names)))), ...);
  }

 private:
  void* handle_;
};

}  // namespace moshi
