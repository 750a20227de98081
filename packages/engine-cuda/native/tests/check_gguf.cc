// GGUF: files as other programs write them, hostile ones, and that what is written reads back.
#include <cstring>
#include <filesystem>

#include "core/quant.h"
#include "files/gguf.h"
#include "files/gguf_writer.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

std::string text(const std::string& value) {
  return little_endian(value.size(), 8) + value;
}

std::string pair(const std::string& key, uint32_t type, const std::string& value) {
  return text(key) + little_endian(type, 4) + value;
}

std::string tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type, uint64_t offset) {
  std::string out = text(name) + little_endian(sizes.size(), 4);
  for (const uint64_t size : sizes) out += little_endian(size, 8);
  return out + little_endian(type, 4) + little_endian(offset, 8);
}

struct Parts {
  std::string pairs, tensors, data;
  uint64_t pair_count = 0, tensor_count = 0, alignment = 32;
  uint32_t version = 3;
  std::string bytes() const {
    std::string out = "GGUF" + little_endian(version, 4) + little_endian(tensor_count, 8) +
                      little_endian(pair_count, 8) + pairs + tensors;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

// Every kind of metadata, an alignment of its own, three tensors.
Parts sound_parts() {
  Parts parts;
  parts.alignment = 64;
  const std::string list = little_endian(8, 4) + little_endian(2, 8) + text("one") + text("two");
  const std::string numbers = little_endian(6, 4) + little_endian(3, 8) + std::string(12, '\1');
  const std::string nested = little_endian(9, 4) + little_endian(2, 8) + list + numbers;
  parts.pairs = pair("general.architecture", 8, text("moshi")) + pair("a", 0, "x") + pair("b", 3, "xx") +
                pair("c", 6, "1234") + pair("d", 12, "12345678") + pair("e", 9, list) + pair("f", 9, numbers) +
                pair("g", 9, nested) + pair("h", 7, "\1") + pair("long", 8, text(std::string(40000, 'l'))) +
                pair("general.alignment", 4, little_endian(64, 4));
  parts.pair_count = 11;
  parts.tensors = tensor("plain", {3, 2}, 0, 0) + tensor("blocks", {64, 2}, 8, 64) + tensor("scalar", {}, 30, 256);
  parts.tensor_count = 3;
  parts.data.assign(258, '\0');
  for (int i = 0; i < 6; ++i) {
    const auto value = static_cast<float>(i);
    std::memcpy(&parts.data[static_cast<size_t>(4 * i)], &value, 4);
  }
  for (size_t block = 0; block < 4; ++block) {
    const uint16_t scale = float_to_f16(0.5f * static_cast<float>(block + 1));
    std::memcpy(&parts.data[64 + 34 * block], &scale, 2);
    parts.data[64 + 34 * block + 2 + 5] = static_cast<char>(-3);
  }
  const uint16_t one = float_to_bf16(1);
  std::memcpy(&parts.data[256], &one, 2);
  return parts;
}

void check_reading() {
  const TemporaryFile file;
  const Gguf good(file.write(sound_parts().bytes()));
  expect(good.info("plain").shape == std::vector<int64_t>{2, 3} && good.floats("plain")[4] == 4,
         "gguf: the innermost size comes first");
  const std::vector<float> blocks = good.floats("blocks");
  expect(blocks.size() == 128 && blocks[5] == -1.5f && blocks[64 + 32 + 5] == -6 && blocks[6] == 0,
         "gguf: blocks are read as floats");
  expect(good.floats("scalar")[0] == 1, "gguf: a tensor without dimensions is one number");
  expect(good.texts().at("general.architecture") == "moshi" && good.texts().count("long") == 0,
         "gguf: short texts are kept");
  Parts second = sound_parts();
  second.version = 2;
  expect(!refused([&] { Gguf again(file.write(second.bytes())); }), "gguf: version 2 is read too");
}

void check_refusals() {
  const TemporaryFile file;
  const auto says = [&](const std::string& bytes) { return refusal([&] { Gguf broken(file.write(bytes)); }); };
  const auto with = [](auto change) {
    Parts parts = sound_parts();
    change(parts);
    return parts.bytes();
  };
  const auto one = [](const std::string& entry, uint64_t bytes) {
    Parts parts;
    parts.tensors = entry;
    parts.tensor_count = 1;
    parts.data.assign(bytes, '\0');
    return parts.bytes();
  };
  const std::pair<const char*, std::string> bad[] = {
      {"an empty file", ""},
      {"another format", std::string(64, 'x')},
      {"a lone magic", "GGUF"},
      {"version 1", with([](Parts& p) { p.version = 1; })},
      {"big-endian numbers", with([](Parts& p) { p.version = 0x03000000; })},
      {"countless tensors", with([](Parts& p) { p.tensor_count = uint64_t{1} << 60; })},
      {"countless values", with([](Parts& p) { p.pair_count = uint64_t{1} << 60; })},
      {"more tensors than there are", with([](Parts& p) { p.tensor_count = 4; })},
      {"an unknown kind of value", with([](Parts& p) { p.pairs += pair("x", 13, ""), ++p.pair_count; })},
      {"a text beyond the end",
       with([](Parts& p) { p.pairs += pair("x", 8, little_endian(~0ull, 8)), ++p.pair_count; })},
      {"a list beyond the end", with([](Parts& p) {
         p.pairs += pair("x", 9, little_endian(12, 4) + little_endian(1 << 27, 8)), ++p.pair_count;
       })},
      {"a list whose size overflows", with([](Parts& p) {
         p.pairs += pair("x", 9, little_endian(12, 4) + little_endian(1ull << 61, 8)), ++p.pair_count;
       })},
      {"endless nesting", with([](Parts& p) {
         std::string inner;
         for (int i = 0; i < 1000; ++i) inner += little_endian(9, 4) + little_endian(1, 8);
         p.pairs += pair("x", 9, inner), ++p.pair_count;
       })},
      {"no alignment",
       with([](Parts& p) { p.pairs += pair("general.alignment", 4, little_endian(0, 4)), ++p.pair_count; })},
      {"an odd alignment",
       with([](Parts& p) { p.pairs += pair("general.alignment", 4, little_endian(33, 4)), ++p.pair_count; })},
      {"a tensor twice", with([](Parts& p) { p.tensors += tensor("plain", {1}, 0, 0), ++p.tensor_count; })},
      {"data beyond the end", one(tensor("x", {33}, 0, 0), 128)},
      {"an offset beyond the end", one(tensor("x", {1}, 0, 160), 128)},
      {"an offset that overflows", one(tensor("x", {1}, 0, ~31ull), 128)},
      {"an offset between the places", one(tensor("x", {1}, 0, 4), 128)},
      {"a shape that overflows", one(tensor("x", {1ull << 40, 1ull << 40}, 0, 0), 128)},
      {"a shape that is negative", one(tensor("x", {~0ull}, 0, 0), 128)},
      {"countless dimensions", one(tensor("x", std::vector<uint64_t>(9, 1), 0, 0), 128)},
      {"a row that is no whole block", one(tensor("x", {48, 2}, 8, 0), 128)},
      {"a row of Q4_K that is no whole block", one(tensor("x", {128, 2}, 12, 0), 288)}};
  for (const auto& [what, bytes] : bad) expect(!says(bytes).empty(), std::string("gguf: refuses ") + what);
  const std::string unknown = says(one(tensor("some.weight", {256}, 14, 0), 256));
  expect(unknown.find("some.weight") != std::string::npos && unknown.find("Q6_K") != std::string::npos,
         "gguf: names a tensor and the type that cannot be read: " + unknown);
  expect(says(one(tensor("x", {256}, 12, 0), 144)).empty(), "gguf: a file that ends with its data is sound");
}

void check_writing() {
  const TemporaryFile file;
  const std::vector<GgufWriter::Tensor> tensors = {{"a", DType::F32, {2, 3}},
                                                   {"none", DType::F32, {0, 4}},
                                                   {"b.weight", DType::Q4_K, {2, 256}},
                                                   {"c", DType::BF16, {1, 1, 5}},
                                                   {"d", DType::Q8_0, {3, 32}}};
  std::string all;
  for (size_t i = 0; i < tensors.size(); ++i)
    all += std::string(tensors[i].bytes(), static_cast<char>('a' + static_cast<int>(i)));
  {
    GgufWriter writer(file.path(), tensors, {{"general.architecture", "moshi"}});
    expect(!std::filesystem::exists(path_of(file.path())), "gguf: nothing appears before it is whole");
    expect(refused([&] { writer.finish(); }), "gguf: a file that is not whole is refused");
    // In pieces that respect no border.
    for (size_t at = 0; at < all.size(); at += 37) writer.write(&all[at], std::min<size_t>(37, all.size() - at));
    expect(refused([&] { writer.write("x", 1); }), "gguf: more data than tensors is refused");
    writer.finish();
  }
  const Gguf back(file.path());
  bool same = back.tensors().size() == tensors.size();
  size_t at = 0;
  for (const GgufWriter::Tensor& tensor : tensors) {
    const TensorInfo& info = back.info(tensor.name);
    std::string bytes(info.bytes, '\0');
    back.read(info, bytes.data());
    same &= info.shape == tensor.shape && info.type == tensor.type && bytes == all.substr(at, info.bytes) &&
            info.offset % 32 == 0;
    at += bytes.size();
  }
  expect(same, "gguf: what is written reads back");
  expect(back.texts().at("general.architecture") == "moshi", "gguf: texts are written");
  expect(refused([&] {
           GgufWriter(file.path() + "-2", {{"x", DType::U32, {1}}});
         }) &&
             !std::filesystem::exists(path_of(file.path() + "-2")),
         "gguf: a type the format does not know is refused");
}

}  // namespace

void check_gguf() {
  check_reading();
  check_refusals();
  check_writing();
  const TemporaryFile file;
  Parts small = sound_parts();
  small.pairs.erase(small.pairs.find(text("long")), text("long").size() + 4 + 8 + 40000);
  --small.pair_count;
  fuzz("gguf", small.bytes(), 3000, [&](const std::string& bytes) {
    const Gguf any(file.write(bytes));
    for (const auto& [name, info] : any.tensors())
      if (info.bytes < 1 << 20 && refused([&, n = name] { any.floats(n); })) any.integers(name);
  });
}

}  // namespace moshi
