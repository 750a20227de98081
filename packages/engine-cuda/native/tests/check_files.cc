// Readers of untrusted files: every mutation either parses or throws Error; nothing else may happen (run under ASan and
// UBSan).
#include <cmath>
#include <cstring>

#include "files/json.h"
#include "files/safetensors.h"
#include "files/sentencepiece.h"
#include "files/values.h"
#include "model/config.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

void check_json() {
  const Json good = Json::parse(R"({"a": [1, -2.5e3, true, null], "b": {"c": "x\u00e9\ud83d\ude00\n"}})", "test");
  expect(good.find("a")->items()[1].number("a") == -2500, "json: numbers");
  expect(good.find("b")->find("c")->string("c") == "x\xC3\xA9\xF0\x9F\x98\x80\n", "json: escapes and surrogate pairs");
  for (const char* bad : {"", "{", "[1,]", "{\"a\":}", "nul", "01x", "\"\\q\"", "\"abc", "[1] 2", "{\"a\" 1}", "inf",
                          "0x10", "\"\x01\"", "\"\\ud83d"})
    expect(refused([&] { Json::parse(bad, "test"); }), std::string("json: refuses ") + bad);
  expect(refused([] { Json::parse(std::string(100000, '['), "test"); }), "json: refuses endless nesting");
  fuzz("json", R"({"dim": 64, "delays": [0, 0, 1], "name": "a\u0041", "deep": [[[[{"x": 1e9}]]]]})", 20000,
       [](const std::string& s) { Json::parse(s, "test"); });
}

void check_safetensors() {
  const TemporaryFile file;
  const std::string sound = safetensors_bytes(
      R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})",
      std::string(32, '\1'));
  const Safetensors good(file.write(sound));
  expect(good.floats("a").size() == 6 && good.floats("b").size() == 4, "safetensors: reads f32 and bf16");
  expect(refused([&] { good.info("c"); }), "safetensors: names a missing tensor");
  expect(refused([&] { good.integers("a"); }), "safetensors: floats are no integers");
  const std::pair<const char*, std::string> bad[] = {
      {"an empty file", ""},
      {"a short file", "abc"},
      {"a header longer than the file", safetensors_bytes("{}", "").replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f")},
      {"data beyond the end",
       safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", std::string(4, '\1'))},
      {"reversed offsets",
       safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", std::string(8, '\1'))},
      {"a negative size",
       safetensors_bytes(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", std::string(8, '\1'))},
      {"a shape that overflows",
       safetensors_bytes(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,8]}})",
                         std::string(8, '\1'))},
      {"a shape that disagrees",
       safetensors_bytes(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", std::string(8, '\1'))},
      {"an unknown type",
       safetensors_bytes(R"({"a":{"dtype":"F7","shape":[2],"data_offsets":[0,8]}})", std::string(8, '\1'))},
      {"a missing field", safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2]}})", std::string(8, '\1'))}};
  for (const auto& [what, bytes] : bad)
    expect(refused([&, b = bytes] { Safetensors broken(file.write(b)); }), std::string("safetensors: refuses ") + what);
  expect(refused([] { Safetensors missing("/nonexistent/file"); }), "safetensors: refuses a missing file");
  expect(refused([] { Safetensors folder("/"); }), "safetensors: refuses a folder");
  fuzz("safetensors", sound, 3000, [&](const std::string& bytes) {
    const Safetensors any(file.write(bytes));
    for (const auto& [name, info] : any.tensors()) {
      if (refused([&, n = name] { any.floats(n); })) any.integers(name);
    }
  });
}

// A small tokenizer in its protobuf form.
std::string tokenizer_bytes() {
  const auto field = [](int number, const std::string& bytes) {
    return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + bytes;
  };
  const auto piece = [&](const std::string& text, float score, int kind) {
    std::string raw(4, '\0');
    std::memcpy(raw.data(), &score, 4);
    return field(1, field(1, text) + '\x15' + raw + '\x18' + static_cast<char>(kind));
  };
  std::string out = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("<pad>", 0, 3);
  for (const char* text : {"\xE2\x96\x81", "a", "b", "ab",
                           "\xE2\x96\x81"
                           "ab"})
    out += piece(text, -1, 1);
  return out;
}

void check_values() {
  const std::pair<float, uint16_t> halves[] = {{0, 0},
                                               {-0.0f, 0x8000},
                                               {1, 0x3c00},
                                               {65504, 0x7bff},
                                               {65519, 0x7bff},
                                               {65520, 0x7c00},
                                               {-1e30f, 0xfc00},
                                               {0x1p-24f, 1},
                                               {0x1p-25f, 0},
                                               {0x3p-25f, 2},
                                               {0x1p-14f, 0x400},
                                               {1.00048828125f, 0x3c00},
                                               {1.00146484375f, 0x3c02},
                                               {INFINITY, 0x7c00}};
  for (const auto& [value, bits] : halves) expect(float_to_f16(value) == bits, "f16: rounds " + std::to_string(value));
  bool same = true;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float half = f16_to_float(static_cast<uint16_t>(bits)), brain = bf16_to_float(static_cast<uint16_t>(bits));
    same &= std::isnan(half) ? std::isnan(f16_to_float(float_to_f16(half))) : float_to_f16(half) == bits;
    same &= std::isnan(brain) ? std::isnan(bf16_to_float(float_to_bf16(brain))) : float_to_bf16(brain) == bits;
  }
  expect(same, "f16 and bf16: every value survives the way through float");
  expect(float_to_bf16(bits_to_float(0x3f808000)) == 0x3f80 && float_to_bf16(bits_to_float(0x3f818000)) == 0x3f82 &&
             float_to_bf16(bits_to_float(0x3f808001)) == 0x3f81,
         "bf16: rounds to nearest even");
}

void check_sentencepiece() {
  const SentencePiece tokenizer(tokenizer_bytes(), "test");
  expect(tokenizer.decode({8, 5}) == "aba", "sentencepiece: decodes");
  expect(tokenizer.encode("ab").size() == 1, "sentencepiece: encodes the longest piece");
  expect(tokenizer.wire_text(8) == " ab" && tokenizer.wire_text(-1).empty() && tokenizer.wire_text(999).empty(),
         "sentencepiece: wire text");
  expect(refused([&] { tokenizer.decode({999}); }), "sentencepiece: refuses unknown ids");
  std::string noise;
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) noise += static_cast<char>(random());
  expect(!tokenizer.encode(noise).empty(), "sentencepiece: encodes any bytes");
  fuzz("sentencepiece", tokenizer_bytes(), 20000, [](const std::string& bytes) {
    const SentencePiece any(bytes, "test");
    any.encode("ab <s> \xF0\x9F\x98\x80 ab");
    any.decode({0, 1});
  });
}

void check_configs() {
  const std::string sound =
      R"({"dim":64,"text_card":120,"n_q":16,"dep_q":8,"card":64,"num_heads":4,"num_layers":3,"context":12,"gating":"silu",
    "norm":"rms_norm_f32","positional_embedding":"rope","depformer_dim":32,"depformer_num_heads":4,"depformer_num_layers":2,
    "depformer_pos_emb":"none","depformer_weights_per_step":true,"depformer_multi_linear":true,"delays":[0,0,1,1,1,1,1,1,1,0,1,1,1,1,1,1,1]})";
  expect(LmConfig::parse(Json::parse(sound, "test")).user_codebooks() == 8, "config: parses");
  const std::pair<const char*, const char*> bad[] = {{"\"num_heads\":4", "\"num_heads\":5"},
                                                     {"\"dep_q\":8", "\"dep_q\":17"},
                                                     {"\"n_q\":16", "\"n_q\":15"},
                                                     {"\"dim\":64", "\"dim\":-1"},
                                                     {"\"dim\":64", "\"dim\":1e30"},
                                                     {"\"silu\"", "\"magic\""},
                                                     {"\"rope\"", "\"spiral\""},
                                                     {"\"context\":12", "\"x\":1"},
                                                     {"[0,0,1", "[0,0,-1"},
                                                     {"\"gating\"", "\"conditioners\":{\"x\":1},\"gating\""}};
  for (const auto& [from, to] : bad) {
    std::string text = sound;
    text.replace(text.find(from), std::strlen(from), to);
    expect(refused([&] { LmConfig::parse(Json::parse(text, "test")); }), std::string("config: refuses ") + to);
  }
  const std::string codec =
      R"({"sample_rate":24000,"frame_rate":12.5,"seanet":{"dimension":64,"n_filters":8,"n_residual_layers":1,
    "dilation_base":2,"ratios":[8,6,5,4]},"quantizer":{"dimension":32,"n_q":8,"bins":64,"input_dimension":64,"output_dimension":64},
    "transformer":{"d_model":64,"num_heads":4,"num_layers":2,"context":20,"layer_scale":0.01}})";
  expect(MimiConfig::parse(Json::parse(codec, "test")).hop() == 960, "codec config: parses");
  const std::pair<const char*, const char*> impossible[] = {
      {"[8,6,5,4]", "[1048576,1048576,1048576,1048576]"},
      {"[8,6,5,4]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"},
      {"\"n_filters\":8", "\"n_filters\":1048576"},
      {"12.5", "1e-300"},
      {"12.5", "1e300"},
      {"12.5", "-1"},
      {"\"n_residual_layers\":1,", "\"n_residual_layers\":1000000,"},
      {"[8,6,5,4]", "[7,6,5,4]"}};
  for (const auto& [from, to] : impossible) {
    std::string text = codec;
    text.replace(text.find(from), std::strlen(from), to);
    expect(refused([&] { MimiConfig::parse(Json::parse(text, "test")); }), std::string("codec config: refuses ") + to);
  }
  fuzz("codec config", codec, 5000, [](const std::string& text) { MimiConfig::parse(Json::parse(text, "test")); });
  fuzz("config", sound, 5000, [](const std::string& text) { LmConfig::parse(Json::parse(text, "test")); });
}

}  // namespace

void check_files() {
  check_json();
  check_values();
  check_safetensors();
  check_torch_file();
  check_weights();
  check_sentencepiece();
  check_configs();
}

}  // namespace moshi
