// The yardstick of whatever is bound by memory: what a device does that only moves bytes.
#pragma once

namespace moshi {

class Yardstick {
 public:
  virtual ~Yardstick() = default;
  // Goes over its memory once: bytes a second.
  virtual double pass() = 0;
};

// How fast something is beside a yardstick right before and right after it: on a machine that others use too, the
// middle one of such ratios holds where speeds do not.
class Beside {
 public:
  explicit Beside(Yardstick& yardstick) : yardstick_(yardstick), before_(yardstick.pass()) {}
  // Bytes a second, at the middle of both.
  double moving() { return 2 / (1 / before_ + 1 / yardstick_.pass()); }

 private:
  Yardstick& yardstick_;
  double before_;
};

}  // namespace moshi
