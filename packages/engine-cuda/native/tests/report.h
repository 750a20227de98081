// One row a check: what was compared, the largest error, the verdict.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moshi {

class Report {
 public:
  explicit Report(std::string name) : case_(std::move(name)) {}

  // Largest |got - want| over the largest |want|; passes up to `tolerance`.
  void close(const std::string& check, std::span<const float> got, std::span<const float> want,
             double tolerance = 1e-4);
  // Passes when the noise in `got` lies so many decibels below `want`.
  void quiet(const std::string& check, std::span<const float> got, std::span<const float> want, double decibels);
  // Passes only when every value is the same.
  void same(const std::string& check, std::span<const int64_t> got, std::span<const int64_t> want);
  void same_text(const std::string& check, int64_t differing, int64_t total, const std::string& first);
  void failed(const std::string& check, const std::string& why);

  int failures() const { return failures_; }
  int checks() const { return checks_; }

 private:
  void row(bool passed, const std::string& check, const std::string& result);

  std::string case_;
  int failures_ = 0, checks_ = 0;
};

}  // namespace moshi
