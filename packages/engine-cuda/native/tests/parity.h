// Golden cases: folders made by running the reference implementations. Each kind of case has one function.
#pragma once

#include <string>

#include "model/backend.h"
#include "tests/report.h"

namespace moshi {

struct Case {
  std::string folder;  // without a trailing slash
  std::string name;
  std::string file(const std::string& leaf) const { return folder + "/" + leaf; }
  bool has(const std::string& leaf) const;
  std::string readme() const;  // empty when there is none
};

void check_mimi(const Case& one, Backend& backend, Report& report);
void check_lm(const Case& one, Backend& backend, Report& report);
void check_personaplex(const Case& one, Backend& backend, Report& report);
void check_lora(const Case& one, Backend& backend, Report& report);
void check_expand(const Case& one, Backend& backend, Report& report);
void check_quantized(const Case& one, Backend& backend, Report& report);
void check_stt(const Case& one, Backend& backend, Report& report);
void check_torch(const Case& one, Report& report);
void check_sampling(const Case& one, Report& report);
void check_sentencepiece(const Case& one, Report& report);

}  // namespace moshi
