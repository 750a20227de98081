// PersonaPlex's prompts: what is fed before the conversation so that the model takes a voice and a role.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/generation.h"
#include "model/voice.h"

namespace moshi {

// The role prompt between <system> tags, unless it stands between them already. Empty stays empty: no prompt.
std::string wrap_with_system_tags(const std::string& prompt);

// The steps of a persona in the reference's order: the voice's frames, half a second of silence, one token a step,
// silence. The user's stream is a tone throughout. Empty when there is neither voice nor text. Points into `voice` and
// static tables; a voice of the published form has no steps, its embeddings come before them.
std::vector<StepInput> persona_steps(const LmConfig& config, const Voice* voice, const std::vector<int32_t>& text);

// Reads a persona into a conversation, part by part.
class PersonaReader {
 public:
  // Both may be empty: there is nothing to read then. Throws Error(kBadOption) when it is too long for the model.
  PersonaReader(const LmConfig& config, std::shared_ptr<Voice> voice, std::vector<int32_t> text);

  const std::shared_ptr<Voice>& voice() const { return voice_; }
  const std::vector<int32_t>& text() const { return text_; }
  bool empty() const { return !voice_ && text_.empty(); }
  // Steps in all; the conversation's own begin after them.
  size_t size() const;

  // The next part: 32 steps, or 4 frames of a recording that is still to be encoded (only that needs the codec). True
  // when all is in.
  bool read(const Lm& lm, const Mimi* mimi, Generation& generation);
  void restart();

 private:
  const LmConfig& config_;
  std::shared_ptr<Voice> voice_;
  std::vector<int32_t> text_;
  std::vector<StepInput> steps_;  // made when the voice's codes are there
  size_t embedded_ = 0, read_ = 0;
};

}  // namespace moshi
