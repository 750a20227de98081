#include "model/generation.h"

#include <algorithm>

#include "core/philox.h"

namespace moshi {

Generation::Generation(const Lm& lm, const SamplingOptions& options)
    : config_(lm.config()), options_(options), slots_(lm.config().max_delay() + 3), temporal_(lm.make_temporal()) {
  if (config_.generated_codebooks > 0) depth_ = lm.make_depth();
  temporal_.fork = depth_.fork = config_.dialect == Dialect::PersonaPlex;
  reset();
}

void Generation::reset() {
  cache_.assign(static_cast<size_t>(config_.streams() * slots_), kUngenerated);
  provided_.assign(cache_.size(), 0);
  offset_ = 0;
  temporal_.reset();
  recent_text_.clear();
}

void Generation::give(int stream, int64_t position, int32_t token) {
  cache_[at(stream, position)] = token;
  provided_[at(stream, position)] = 1;
}

void Generation::take_input(const StepInput& input) {
  const auto delay = [&](int stream) { return config_.delays[static_cast<size_t>(stream)]; };
  const int user = 1 + config_.own_codebooks();
  for (int k = 0; k < config_.user_codebooks(); ++k) give(user + k, offset_ + delay(user + k), input.user[k]);
  if (config_.dialect == Dialect::Moshi) return;
  for (int k = 0; input.own && k < config_.own_codebooks(); ++k) give(1 + k, offset_ + delay(1 + k), input.own[k]);
  if (input.text != kFree) give(0, offset_ + delay(0), input.text);
  // Streams that have not begun are held at their initial token, which here also counts as given.
  for (int s = 0; s < config_.streams(); ++s)
    if (offset_ <= delay(s)) give(s, offset_, initial(s));
}

void Generation::read_input(int32_t* tokens) const {
  const int64_t position = target() - 1;
  for (int s = 0; s < config_.streams(); ++s) {
    // Up to and including its delay a stream has nothing real to say, so even codes given on step 0 are not read.
    tokens[s] = position <= config_.delays[static_cast<size_t>(s)] ? initial(s) : cache_[at(s, position)];
  }
}

int32_t Generation::settle(int stream, int32_t drawn) {
  const size_t place = at(stream, target());
  if (!provided_[place]) cache_[place] = drawn;
  return cache_[place];
}

int Generation::codebooks_to_draw() const {
  int count = config_.generated_codebooks;
  while (count > 0 && provided_[at(count, target())]) --count;
  return count;
}

void Generation::finish_step() {
  if (runs())
    for (int s = 0; s < config_.streams(); ++s) provided_[at(s, target() - 1)] = 0;
  ++offset_;
}

int32_t Generation::draw_text(std::span<float> logits) const {
  if (options_.repetition_penalty != 1 && options_.repetition_context > 0) {
    penalize(logits, recent_text_, options_.repetition_penalty);
  }
  const size_t pad = static_cast<size_t>(config_.text_padding);
  if (options_.pad_bonus != 0 && pad < logits.size()) logits[pad] += options_.pad_bonus * options_.text.temperature;
  return sample(logits, options_.text, philox_uniform(options_.text_seed, static_cast<uint64_t>(offset_), 0));
}

void Generation::note_text(int32_t token) {
  // Silence is no repetition: padding and the initial token neither count nor are held against the model.
  const bool word = token != config_.text_padding && token != config_.text_end_padding && token != config_.text_card;
  if (options_.repetition_context > 0 && word) {
    recent_text_.push_back(token);
    if (recent_text_.size() > static_cast<size_t>(options_.repetition_context))
      recent_text_.erase(recent_text_.begin());
  }
}

int32_t Generation::draw_audio(std::span<const float> logits, int codebook) const {
  return sample(
      logits, options_.audio,
      philox_uniform(options_.audio_seed, static_cast<uint64_t>(offset_), 1 + static_cast<uint32_t>(codebook)));
}

bool Generation::emitted(std::vector<int32_t>& tokens) const {
  const int64_t max_delay = config_.max_delay(), predicted = target() - 1;
  if (predicted <= max_delay) return false;
  tokens.resize(static_cast<size_t>(1 + config_.generated_codebooks));
  for (int s = 0; s <= config_.generated_codebooks; ++s)
    tokens[static_cast<size_t>(s)] = cache_[at(s, predicted - max_delay + config_.delays[static_cast<size_t>(s)])];
  return true;
}

// A pass may not reach the end of the ring: there its first rows would already miss what its last ones overwrite.
int64_t Generation::room() const {
  return std::max<int64_t>(1, temporal_.cache.capacity() - 1 - temporal_.position);
}

size_t Generation::prefill(const Lm& lm, std::span<const StepInput> inputs) {
  std::vector<int32_t> tokens;
  const size_t streams = static_cast<size_t>(config_.streams());
  const int64_t limit = room();
  size_t read = 0;
  int64_t positions = 0;
  for (; read < inputs.size() && positions < limit; ++read) {
    if (!inputs[read].own || inputs[read].text == kFree) break;
    take_input(inputs[read]);
    if (runs()) {
      tokens.resize(tokens.size() + streams);
      read_input(&tokens[tokens.size() - streams]);
      ++positions;
    }
    finish_step();
  }
  if (positions == 0) return read;
  std::vector<Row> rows;
  temporal_.extend(rows, positions, config_.temporal.context);
  lm.prefill(tokens.data(), rows);
  return read;
}

size_t Generation::prefill_embedded(const Lm& lm, std::span<const float> embeddings) {
  const size_t dim = static_cast<size_t>(lm.dim());
  const size_t count = std::min(embeddings.size() / dim, static_cast<size_t>(room()));
  std::vector<int32_t> user(static_cast<size_t>(config_.user_codebooks()), initial(1)),
      own(static_cast<size_t>(config_.own_codebooks()), initial(1));
  const StepInput held{user.data(), own.data(), config_.text_padding};
  for (size_t i = 0; i < count; ++i) {
    for (bool ran = false; !ran;) {
      take_input(held);
      ran = runs();
      finish_step();
    }
  }
  if (count == 0) return 0;
  std::vector<Row> rows;
  temporal_.extend(rows, static_cast<int64_t>(count), config_.temporal.context);
  lm.prefill_embedded(embeddings.data(), rows);
  return count;
}

void Generation::replace_cache(std::span<const int32_t> cache) {
  std::copy(cache.begin(), cache.end(), cache_.begin());
}

Remembered Generation::remember(Backend& backend) const {
  return {cache_, provided_, offset_, temporal_.position, temporal_.cache.save(backend, temporal_.position)};
}

void Generation::recall(Backend& backend, const Remembered& remembered) {
  reset();
  cache_ = remembered.cache;
  provided_ = remembered.provided;
  offset_ = remembered.offset;
  temporal_.position = remembered.position;
  temporal_.cache.restore(backend, remembered.ring);
}

void Generation::step(const Lm& lm, std::span<Generation*> all, std::span<const StepInput> inputs,
                      std::vector<StepTrace>* trace) {
  const LmConfig& config = lm.config();
  const size_t streams = static_cast<size_t>(config.streams()), dim = static_cast<size_t>(lm.dim());
  const size_t text_card = static_cast<size_t>(config.text_card_out), card = static_cast<size_t>(config.card);
  if (trace) trace->assign(all.size(), {});
  std::vector<Generation*> running;
  std::vector<StepTrace*> traces;
  std::vector<int32_t> tokens;
  std::vector<Row> rows;
  for (size_t i = 0; i < all.size(); ++i) {
    all[i]->take_input(inputs[i]);
    if (!all[i]->runs()) continue;
    running.push_back(all[i]);
    if (trace) traces.push_back(&(*trace)[i]);
    tokens.resize(tokens.size() + streams);
    all[i]->read_input(&tokens[tokens.size() - streams]);
    all[i]->temporal_.extend(rows, 1, config.temporal.context);
  }
  size_t n = running.size();
  std::vector<float> hidden(n * dim), text_logits(n * text_card), logits(n * card);
  std::vector<int32_t> previous(n);
  if (n > 0) lm.temporal(tokens.data(), rows, hidden.data(), text_logits.data());
  for (size_t i = 0; i < traces.size(); ++i) {
    traces[i]->input.assign(&tokens[i * streams], &tokens[i * streams] + streams);
    traces[i]->hidden.assign(&hidden[i * dim], &hidden[i * dim] + dim);
    traces[i]->text_logits.assign(&text_logits[i * text_card], &text_logits[i * text_card] + text_card);
  }
  std::vector<int32_t> drawn(n);
  const auto seen = [&](size_t i) { return std::span<float>(&text_logits[i * text_card], text_card); };
  const auto draw = [&](size_t count, auto token) {
    lm.backend().each(static_cast<int64_t>(count),
                      [&](int64_t i) { drawn[static_cast<size_t>(i)] = token(static_cast<size_t>(i)); });
  };
  draw(n, [&](size_t i) { return running[i]->draw_text(seen(i)); });
  for (size_t i = 0; i < n; ++i) {
    Generation& one = *running[i];
    previous[i] = one.settle(0, one.guide_ ? one.guide_->guide(drawn[i], seen(i), one.target()) : drawn[i]);
    one.note_text(previous[i]);
    if (trace) traces[i]->text = drawn[i];
  }
  // Whoever needs no further codebook drops out: what is given anyway need not be computed. Checks want to see all
  // that are loaded.
  std::vector<int> needed(n);
  for (size_t i = 0; i < n; ++i) needed[i] = trace ? lm.codebooks() : running[i]->codebooks_to_draw();
  for (int k = 0; k < config.generated_codebooks; ++k) {
    rows.clear();
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
      if (needed[i] <= k) continue;
      if (kept != i) {
        running[kept] = running[i];
        needed[kept] = needed[i];
        previous[kept] = previous[i];
        std::copy_n(&hidden[i * dim], dim, &hidden[kept * dim]);
      }
      running[kept]->depth_.position = k;
      running[kept++]->depth_.extend(rows, 1, 0);
    }
    n = kept;
    if (n == 0) break;
    lm.depth(k, previous.data(), hidden.data(), rows, logits.data());
    draw(n, [&](size_t i) { return running[i]->draw_audio({&logits[i * card], card}, k); });
    for (size_t i = 0; i < n; ++i) {
      previous[i] = running[i]->settle(1 + k, drawn[i]);
      if (!trace) continue;
      traces[i]->audio.push_back(drawn[i]);
      traces[i]->audio_logits.insert(traces[i]->audio_logits.end(), &logits[i * card], &logits[i * card] + card);
    }
  }
  for (Generation* one : all) one->finish_step();
}

}  // namespace moshi
