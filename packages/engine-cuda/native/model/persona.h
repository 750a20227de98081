// PersonaPlex's prompts: what is fed before the conversation so that the model takes a role.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/generation.h"

namespace moshi {

// The role prompt between <system> tags, unless it stands between them already. Empty stays empty: no prompt.
std::string wrap_with_system_tags(const std::string& prompt);

// The steps of a text prompt in the reference's order: half a second of silence, one token a step, silence. The user's
// stream is a tone throughout. Points into static tables; empty when there is nothing to say.
std::vector<StepInput> persona_steps(const LmConfig& config, const std::vector<int32_t>& text);

}  // namespace moshi
