#include "model/lora.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/error.h"
#include "files/values.h"
#include "model/workspace.h"

namespace moshi {

namespace {

constexpr const char *kA = ".lora_A.weight", *kB = ".lora_B.weight";

// Values worked on at once, so that a large matrix needs little more than itself.
constexpr int64_t kChunk = 1 << 20;

std::string quoted(const std::string& name) {
  return std::string("'") + printable(name) + "'";
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// "….in_projs.3" → "….in_proj" and 3; -1 when the stem is not numbered.
std::pair<std::string, int64_t> split_number(const std::string& stem) {
  const size_t dot = stem.rfind('.');
  if (dot == std::string::npos || stem.size() - dot > 5 || stem.size() - dot < 2) return {stem, -1};
  if (!ends_with(stem.substr(0, dot), "_projs")) return {stem, -1};
  int64_t number = 0;
  for (size_t i = dot + 1; i < stem.size(); ++i) {
    if (stem[i] < '0' || stem[i] > '9') return {stem, -1};
    number = number * 10 + (stem[i] - '0');
  }
  return {stem.substr(0, dot - 1), number};
}

// The name under which the base has the whole of this weight; empty when it has not.
std::string whole_name(const TensorFile& base, const std::string& stem) {
  for (const char* end : {".weight", "_weight"})
    if (base.has(stem + end)) return stem + end;
  return {};
}

}  // namespace

void Lora::fail(const std::string& why) const {
  throw Error(kBadModel, file_.path() + ": " + why);
}

Lora::Lora(const std::string& path, const TensorFile& base, int64_t rank, float scale) : file_(path), scale_(scale) {
  std::set<std::string> stems;
  for (const auto& [name, info] : file_.tensors()) {
    const bool a = ends_with(name, kA), b = ends_with(name, kB);
    if (!a && !b) fail("tensor " + quoted(name) + " is no part of a LoRA adapter");
    const std::string stem = name.substr(0, name.size() - std::strlen(kA));
    if (!file_.has(stem + (a ? kB : kA))) fail("tensor " + quoted(name) + " has no counterpart");
    if (info.shape.size() != 2 || info.count() == 0)
      fail("tensor " + quoted(name) + " is " + shape_text(info.shape) + ", not a matrix");
    stems.insert(stem);
  }
  if (stems.empty()) fail("holds no LoRA adapter");
  for (const std::string& stem : stems) place(base, stem, rank);
}

void Lora::place(const TensorFile& base, const std::string& stem, int64_t rank) {
  const std::string a = stem + kA, b = stem + kB;
  const int64_t a_rows = file_.info(a).shape[0], b_rows = file_.info(b).shape[0], own_rank = file_.info(b).shape[1];
  // Stacked ones are as many as the rank goes into the rows of A.
  const int64_t sets = a_rows / own_rank;
  const bool stacks = ends_with(stem, "in_proj") || ends_with(stem, "out_proj");
  if (a_rows % own_rank != 0 || (sets > 1 && !stacks) || b_rows % sets != 0)
    fail(quoted(stem) + ": A " + shape_text(file_.info(a).shape) + " and B " + shape_text(file_.info(b).shape) +
         " do not have the same rank");
  if (rank > 0 && own_rank != rank)
    fail(quoted(stem) + " has rank " + std::to_string(own_rank) + ", the config says lora_rank " +
         std::to_string(rank));
  const int64_t rows = b_rows / sets;
  const auto part = [&](int64_t set, int64_t row) {
    return Part{a, b, set * own_rank, set * rows, own_rank, row, rows};
  };
  const auto [group, number] = split_number(stem);
  if (const std::string whole = whole_name(base, stem); !whole.empty()) {
    for (int64_t set = 0; set < sets; ++set) add(base, whole, part(set, set * rows), b_rows);
  } else if (const std::string stack = number >= 0 ? whole_name(base, group) : ""; !stack.empty()) {
    const int64_t stacked = base.info(stack).shape.empty() ? 0 : base.info(stack).shape[0];
    add(base, stack, part(0, number * rows), std::max<int64_t>(1, stacked / rows) * rows);
  } else if (stacks && base.has(stem + "s.0.weight")) {
    for (int64_t set = 0; set < sets; ++set)
      add(base, stem + "s." + std::to_string(set) + ".weight", part(set, 0), rows);
  } else {
    fail(quoted(stem) + " is no weight of " + base.path() + "; the adapter was made for another model");
  }
}

// total: rows the weight must have for the part to fit.
void Lora::add(const TensorFile& base, const std::string& name, const Part& part, int64_t total) {
  const std::vector<int64_t>& shape = base.info(name).shape;
  const int64_t cols = file_.info(part.a).shape[1];
  if (shape != std::vector<int64_t>{total, cols} || part.row + part.rows > total)
    fail(quoted(part.a) + " and its counterpart do not fit " + quoted(name) + ", which is " + shape_text(shape) +
         " in " + base.path() + "; the adapter was made for another model");
  const DType type = base.info(name).type;
  if (type != DType::F32 && type != DType::F16 && type != DType::BF16)
    fail(quoted(name) + " is quantized in " + base.path() +
         "; an adapter can only be added to floats: use the bf16 checkpoint, with --weights q8 to run it small");
  std::vector<Part>& parts = parts_[name];
  for (const Part& other : parts)
    if (part.row < other.row + other.rows && other.row < part.row + part.rows)
      fail(quoted(part.a) + " and " + quoted(other.a) + " are for the same weights");
  parts.push_back(part);
}

void Lora::fuse(const std::string& name, DType type, int64_t begin, int64_t rows, int64_t cols, char* bytes,
                Backend& backend) const {
  const auto found = parts_.find(name);
  if (found == parts_.end()) return;
  const auto width = static_cast<size_t>(cols);
  std::string loaded;
  std::vector<float> a, b, delta, weight;
  Working memory(backend);
  for (const Part& part : found->second) {
    // The part's own rows that are among those asked for.
    const int64_t start = std::max<int64_t>(0, begin - part.row), end = std::min(part.rows, begin + rows - part.row);
    if (start >= end) continue;
    if (loaded != part.a) {
      a = file_.floats(part.a);
      b = file_.floats(part.b);
      loaded = part.a;
    }
    // A row of B A is A transposed applied to a row of B.
    StoredMatrix transposed{
        .type = DType::F32, .rows = cols, .cols = part.rank, .bytes = {}, .scales = {}, .offsets = {}};
    transposed.bytes.resize(width * static_cast<size_t>(part.rank) * sizeof(float));
    for (int64_t c = 0; c < cols; ++c)
      for (int64_t r = 0; r < part.rank; ++r)
        std::memcpy(&transposed.bytes[static_cast<size_t>(c * part.rank + r) * sizeof(float)],
                    &a[static_cast<size_t>((part.a_row + r) * cols + c)], sizeof(float));
    const Matrix down = backend.pack(transposed);
    const int64_t chunk = std::max<int64_t>(1, kChunk / cols);
    float *rows_of_b = memory.floats(chunk * part.rank), *product = memory.floats(chunk * cols);
    for (int64_t first = start; first < end; first += chunk) {
      const int64_t n = std::min(chunk, end - first);
      delta.resize(static_cast<size_t>(n) * width);
      weight.resize(delta.size());
      backend.write(rows_of_b, &b[static_cast<size_t>((part.b_row + first) * part.rank)], n * part.rank);
      backend.linear(down, rows_of_b, part.rank, product, cols, n, false);
      backend.read(delta.data(), product, n * cols);
      char* at = bytes + (part.row + first - begin) * cols * dtype_bytes(type);
      to_floats(type, at, weight.size(), weight.data());
      for (size_t i = 0; i < weight.size(); ++i) weight[i] += scale_ * delta[i];
      from_floats(type, weight.data(), weight.size(), at);
    }
  }
}

}  // namespace moshi
