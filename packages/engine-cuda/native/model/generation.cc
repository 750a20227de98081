#include "model/generation.h"

#include <algorithm>

#include "core/philox.h"

namespace moshi {

namespace {

std::vector<float> read_row(Backend& backend, const float* rows, size_t i, int64_t width) {
  std::vector<float> out(static_cast<size_t>(width));
  backend.read(out.data(), rows + static_cast<int64_t>(i) * width, width);
  return out;
}

}  // namespace

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

DrawData Generation::drawing(int stream, std::vector<int32_t>& recent) const {
  const SamplingRule& rule = stream == 0 ? options_.text : options_.audio;
  const uint64_t seed = stream == 0 ? options_.text_seed : options_.audio_seed;
  const size_t place = at(stream, target());
  DrawData out{.temperature = rule.temperature,
               .top_k = rule.top_k,
               .top_p = rule.top_p,
               .uniform = philox_uniform(seed, static_cast<uint64_t>(offset_), static_cast<uint32_t>(stream)),
               .given = provided_[place] ? cache_[place] : kFree,
               .penalty = 1,
               .recent = static_cast<int32_t>(recent.size()),
               .recent_count = 0,
               .favored = -1,
               .favor = 0};
  if (stream > 0) return out;
  // What the guide says may count in its place, so that every text token is drawn.
  out.given = kFree;
  out.favored = static_cast<int32_t>(config_.text_padding);
  out.favor = options_.pad_bonus * options_.text.temperature;
  if (options_.repetition_penalty == 1) return out;
  out.penalty = options_.repetition_penalty;
  out.recent_count = add_once(recent, recent_text_);
  return out;
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
  if (trace) trace->assign(all.size(), {});
  std::vector<Generation*> running;
  std::vector<StepTrace*> traces;
  for (size_t i = 0; i < all.size(); ++i) {
    all[i]->take_input(inputs[i]);
    if (!all[i]->runs()) continue;
    running.push_back(all[i]);
    if (trace) traces.push_back(&(*trace)[i]);
  }
  if (!running.empty()) {
    Working memory(lm.backend());
    const float* hidden = step_text(lm, memory, running, traces);
    step_audio(lm, memory, running, hidden, traces);
  }
  for (Generation* one : all) one->finish_step();
}

void Generation::come_to(Backend& backend, int64_t position) {
  if (position <= temporal_.position) return;
  temporal_.cache.reserve(backend, 1);
  temporal_.cache.repeat(backend, position);
  offset_ += position - temporal_.position;
  temporal_.position = position;
  std::fill(cache_.begin(), cache_.end(), 0);
  // What is heard was given, all else was not.
  const auto heard = provided_.begin() + (1 + config_.own_codebooks()) * slots_;
  std::fill(provided_.begin(), heard, uint8_t{0});
  std::fill(heard, provided_.end(), uint8_t{1});
}

const float* Generation::step_text(const Lm& lm, Working& memory, std::span<Generation* const> running,
                                   std::span<StepTrace* const> traces) {
  const LmConfig& config = lm.config();
  Backend& backend = lm.backend();
  const size_t n = running.size(), streams = static_cast<size_t>(config.streams());
  const auto count = static_cast<int64_t>(n), card = config.text_card_out;
  std::vector<int32_t> tokens(n * streams), recent;
  std::vector<Row> rows;
  std::vector<DrawData> draws;
  for (size_t i = 0; i < n; ++i) {
    running[i]->read_input(&tokens[i * streams]);
    running[i]->temporal_.extend(rows, 1, config.temporal.context);
    draws.push_back(running[i]->drawing(0, recent));
  }
  const int32_t* input = memory.placed(std::span<const int32_t>(tokens));
  const Rows placed = lm.place_temporal(memory, rows);
  const DrawData* how = memory.placed(std::span<const DrawData>(draws));
  // Before what is always as long: where that lies, and so the key, changes with how many words are held.
  const int32_t* held = memory.placed(std::span<const int32_t>(recent));
  float *hidden = memory.floats(count * lm.dim()), *logits = memory.floats(count * card);
  int32_t* drawn = memory.ints(2 * count);
  const auto think = [&] { lm.temporal(input, placed, hidden, logits); };
  const auto draw = [&] { backend.draw(how, held, logits, count, card, drawn, drawn + count); };
  if (traces.empty()) {
    backend.program(program_key({lm.number(), 0, n}, {input, how, held, hidden, logits, drawn}, placed),
                    [&] { think(), draw(); });
  } else {
    think();
    for (size_t i = 0; i < n; ++i) {
      StepTrace& one = *traces[i];
      one.input.assign(&tokens[i * streams], &tokens[i * streams] + streams);
      one.hidden = read_row(backend, hidden, i, lm.dim());
      one.text_logits = read_row(backend, logits, i, card);
    }
    draw();
  }
  std::vector<int32_t> found(n);
  backend.read(found.data(), drawn, count);
  for (size_t i = 0; i < n; ++i) {
    Generation& one = *running[i];
    const TextLogits seen = [&] { return read_row(backend, logits, i, card); };
    one.note_text(one.settle(0, one.guide_ ? one.guide_->guide(found[i], seen, one.target()) : found[i]));
    if (!traces.empty()) traces[i]->text = found[i];
  }
  return hidden;
}

void Generation::step_audio(const Lm& lm, Working& memory, std::span<Generation* const> running, const float* hidden,
                            std::span<StepTrace* const> traces) {
  const LmConfig& config = lm.config();
  Backend& backend = lm.backend();
  const size_t n = running.size();
  const auto count = static_cast<int64_t>(n);
  // What is given to all need not be computed; checks want to see all that is loaded.
  int codebooks = traces.empty() ? 0 : lm.codebooks();
  for (const Generation* one : running) codebooks = std::max(codebooks, one->codebooks_to_draw());
  if (codebooks == 0) return;
  std::vector<int32_t> text, none;
  std::vector<Row> rows;
  std::vector<DrawData> draws;
  for (const Generation* one : running) text.push_back(one->cache_[one->at(0, one->target())]);
  for (int k = 0; k < codebooks; ++k)
    for (Generation* one : running) {
      one->depth_.position = k;
      one->depth_.extend(rows, 1, 0);
      draws.push_back(one->drawing(1 + k, none));
    }
  const int32_t* first = memory.placed(std::span<const int32_t>(text));
  const Rows placed = lm.place_depth(memory, rows);
  const DrawData* how = memory.placed(std::span<const DrawData>(draws));
  float* logits = memory.floats(count * config.card);
  int32_t* drawn = memory.ints(2 * count * codebooks);  // [codebooks, n], then what was taken
  int32_t* taken = drawn + count * codebooks;
  const auto think = [&](int k) {
    const int32_t* previous = k == 0 ? first : taken + (k - 1) * count;
    lm.depth(k, previous, hidden, placed.part(k * count, count), logits);
  };
  const auto draw = [&](int k) {
    backend.draw(how + k * count, nullptr, logits, count, config.card, drawn + k * count, taken + k * count);
  };
  if (traces.empty()) {
    const auto all = [&] {
      for (int k = 0; k < codebooks; ++k) think(k), draw(k);
    };
    const std::initializer_list<uint64_t> numbers{lm.number(), static_cast<uint64_t>(codebooks), n};
    backend.program(program_key(numbers, {first, how, hidden, logits, drawn}, placed), all);
  }
  for (int k = 0; k < codebooks && !traces.empty(); ++k) {
    think(k);
    for (size_t i = 0; i < n; ++i) {
      const std::vector<float> row = read_row(backend, logits, i, config.card);
      traces[i]->audio_logits.insert(traces[i]->audio_logits.end(), row.begin(), row.end());
    }
    draw(k);
  }
  std::vector<int32_t> found(n * static_cast<size_t>(codebooks));
  backend.read(found.data(), drawn, count * codebooks);
  for (int k = 0; k < codebooks; ++k)
    for (size_t i = 0; i < n; ++i) {
      const int32_t token = found[static_cast<size_t>(k) * n + i];
      running[i]->settle(1 + k, token);
      if (!traces.empty()) traces[i]->audio.push_back(token);
    }
}

}  // namespace moshi
