#include <cmath>
#include <cstdio>

#include "tests/report.h"

namespace moshi {

void Report::row(bool passed, const std::string& check, const std::string& result) {
  std::printf("%-4s  %-22s  %-26s  %s\n", passed ? "ok" : "FAIL", case_.c_str(), check.c_str(), result.c_str());
  ++checks_;
  failures_ += !passed;
}

void Report::close(const std::string& check, std::span<const float> got, std::span<const float> want,
                   double tolerance) {
  if (got.size() != want.size())
    return failed(check, std::to_string(got.size()) + " values, " + std::to_string(want.size()) + " expected");
  double error = 0, top = 0;
  bool finite = true;
  for (size_t i = 0; i < got.size(); ++i) {
    finite &= std::isfinite(got[i]) != 0;
    error = std::fmax(error, std::fabs(static_cast<double>(got[i]) - want[i]));
    top = std::fmax(top, std::fabs(static_cast<double>(want[i])));
  }
  const double relative = top > 0 ? error / top : error;
  char text[128];
  std::snprintf(text, sizeof text, "largest error %.2e of largest magnitude (allowed %.0e), %zu values", relative,
                tolerance, got.size());
  row(finite && relative <= tolerance && !got.empty(), check, text);
}

void Report::quiet(const std::string& check, std::span<const float> got, std::span<const float> want, double decibels) {
  if (got.size() != want.size())
    return failed(check, std::to_string(got.size()) + " values, " + std::to_string(want.size()) + " expected");
  double signal = 0, noise = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    signal += static_cast<double>(want[i]) * want[i];
    noise += (static_cast<double>(got[i]) - want[i]) * (static_cast<double>(got[i]) - want[i]);
  }
  const double ratio = 10 * std::log10(signal / noise);
  char text[128];
  std::snprintf(text, sizeof text, "signal to noise %.1f dB (needed %.0f), %zu values", ratio, decibels, got.size());
  row(ratio >= decibels && signal > 0, check, text);
}

void Report::same(const std::string& check, std::span<const int64_t> got, std::span<const int64_t> want) {
  if (got.size() != want.size())
    return failed(check, std::to_string(got.size()) + " values, " + std::to_string(want.size()) + " expected");
  int64_t differing = 0;
  std::string first;
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] == want[i]) continue;
    if (differing++ == 0)
      first = ", first at " + std::to_string(i) + ": " + std::to_string(got[i]) + " for " + std::to_string(want[i]);
  }
  row(differing == 0, check,
      "largest error " + std::to_string(differing) + " of " + std::to_string(got.size()) + " differ" + first);
}

void Report::same_text(const std::string& check, int64_t differing, int64_t total, const std::string& first) {
  row(differing == 0 && total > 0, check,
      "largest error " + std::to_string(differing) + " of " + std::to_string(total) + " differ" +
          (first.empty() ? "" : ", first: " + first));
}

void Report::failed(const std::string& check, const std::string& why) {
  row(false, check, why);
}

}  // namespace moshi
