// Files of torch.save, sound and hostile. Real ones are a golden case; these are made by hand.
#include <algorithm>
#include <cstring>
#include <vector>

#include "files/torch_file.h"
#include "tests/check_tools.h"

namespace moshi {

namespace {

struct Member {
  std::string name, bytes;
  int method = 0;
};

std::string zip_bytes(const std::vector<Member>& members) {
  std::string out, list;
  for (const auto& [name, bytes, method] : members) {
    const std::string about = little_endian(0, 2) + little_endian(static_cast<uint64_t>(method), 2) +
                              std::string(8, '\0') + little_endian(bytes.size(), 4) + little_endian(bytes.size(), 4) +
                              little_endian(name.size(), 2) + little_endian(0, 2);
    list += "PK\1\2" + std::string(4, '\0') + about + std::string(10, '\0') + little_endian(out.size(), 4) + name;
    out += "PK\3\4" + std::string(2, '\0') + about + name + bytes;
  }
  return out + list + "PK\5\6" + std::string(4, '\0') + little_endian(members.size(), 2) +
         little_endian(members.size(), 2) + little_endian(list.size(), 4) + little_endian(out.size(), 4) +
         std::string(2, '\0');
}

std::string text(const std::string& value) {
  return std::string("X").append(little_endian(value.size(), 4)).append(value);
}

std::string whole(int64_t value) {
  return "\x8a\x08" + little_endian(static_cast<uint64_t>(value), 8);
}

std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += whole(value);
  return out + "t";
}

std::string global(const std::string& module, const std::string& name) {
  return std::string("c").append(module).append("\n").append(name).append("\n");
}

// As torch names a tensor; `tail` ends the name of its storage.
std::string tensor(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides, int64_t offset = 0,
                   int64_t elements = 6, const std::string& type = "FloatStorage", const std::string& tail = "") {
  return global("torch._utils", "_rebuild_tensor_v2") + "((" + text("storage") + global("torch", type) + text("0") +
         text("cpu") + whole(elements) + tail + "tQ" + whole(offset) + tuple(shape) + tuple(strides) + "\x89" +
         global("collections", "OrderedDict") + ")RtR";
}

std::string dict(const std::string& value) {
  return "\x80\x02}" + text("x") + value + "s.";
}

std::string floats() {
  std::string out;
  for (const float value : {0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f}) out += little_endian(float_to_bits(value), 4);
  return out;
}

std::string archive(const std::string& pickle, const std::string& data = floats()) {
  return zip_bytes({{"voice/data.pkl", pickle}, {"voice/data/0", data}, {"voice/version", "3\n"}});
}

std::string stream(const std::string& pickle, const std::string& system = "\x88") {
  return std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.") + "\x80\x02" + whole(1001) + "." +
         "\x80\x02}" + text("little_endian") + system + "s." + pickle + "\x80\x02]" + text("0") + "a." +
         little_endian(6, 8) + floats();
}

void check_sound() {
  const TemporaryFile file;
  const std::string turned = tensor({3, 2}, {1, 3}, 0, 6);
  for (const std::string& bytes :
       {archive(dict(turned)), stream(dict(tensor({3, 2}, {1, 3}, 0, 6, "FloatStorage", "N")))}) {
    const TorchFile sound(file.write(bytes));
    expect(sound.shape("x") == std::vector<int64_t>{3, 2} && sound.floats("x") == std::vector<float>{0, 3, 1, 4, 2, 5},
           "torch file: reads a transposed tensor");
    expect(!sound.has("y") && refused([&] { sound.floats("y"); }), "torch file: names a missing tensor");
    expect(refused([&] { sound.integers("x"); }), "torch file: floats are no integers");
  }
  const TorchFile list(file.write(archive(dict("](" + tensor({2}, {1}) + tensor({2}, {1}, 4) + "e"))));
  expect(list.shape("x") == std::vector<int64_t>{2, 2} && list.floats("x") == std::vector<float>{0, 1, 4, 5} &&
             list.floats("x.1") == std::vector<float>{4, 5},
         "torch file: a list of tensors reads as one and one by one");
  // A step that is never taken may be of any size.
  const TorchFile idle(file.write(archive(dict(tensor({2, 1, 2}, {1, INT64_MAX, 1})))));
  expect(idle.floats("x") == std::vector<float>{0, 1, 1, 2}, "torch file: reads overlapping elements");
  const TorchFile none(file.write(archive(dict(tensor({0, INT64_MAX}, {INT64_MAX, 1})))));
  expect(none.floats("x").empty(), "torch file: reads an empty tensor");
}

void check_hostile() {
  const TemporaryFile file;
  const auto said = [&](const std::string& bytes) { return refusal([&] { TorchFile any(file.write(bytes)); }); };
  const std::string call = global("posix", "system") + text("true") + "\x85R";
  for (const std::string& bytes : {archive(dict(call)), stream(dict(call)), dict(call), call + ".",
                                   archive("\x80\x04" + text("posix") + text("system") + "\x93."),
                                   archive(std::string("\x80\x02(iposix\nsystem\n."))})
    expect(said(bytes).find("asks for 'posix.system': a voice file may only hold tensors") != std::string::npos,
           "torch file: refuses a call by name");
  expect(said(archive(global("os\x1b[2J", "sys\rtem") + ".")).find("'os?[2J.sys?tem'") != std::string::npos,
         "torch file: shows a hostile name on one line");

  // Twenty lists that hold the one before twice: a million names.
  std::string laugh = "\x80\x02]q" + std::string(1, '\0');
  for (char i = 1; i < 20; ++i)
    for (const char* code : {"]q", "h", "ah", "a"}) {
      laugh += code;
      if (code[1] == 'q') laugh += i;
      if (std::strchr(code, 'h')) laugh += static_cast<char>(i - 1);
    }
  const std::pair<const char*, std::string> bad[] = {
      {"an empty file", ""},
      {"text", "a voice"},
      {"another pickle", "\x80\x02K\x01."},
      {"an archive of something else", zip_bytes({{"voice/model.bin", "abc"}})},
      {"two archives in one", zip_bytes({{"a/data.pkl", "\x80\x02}."}, {"b/data.pkl", "\x80\x02}."}})},
      {"a member that is there twice", zip_bytes({{"a/data.pkl", "\x80\x02}."}, {"a/data.pkl", "\x80\x02}."}})},
      {"a compressed member", zip_bytes({{"voice/data.pkl", "\x80\x02}."}, {"voice/data/0", "abc", 8}})},
      {"big-endian values",
       zip_bytes({{"voice/data.pkl", dict(tensor({2}, {1}))}, {"voice/data/0", floats()}, {"voice/byteorder", "big"}})},
      {"a big-endian stream", stream(dict(tensor({2}, {1}, 0, 6, "FloatStorage", "N")), "\x89")},
      {"a view of a storage", stream(dict(tensor({2}, {1}, 0, 6, "FloatStorage", tuple({1, 0, 2}))))},
      {"a storage that is not there", zip_bytes({{"voice/data.pkl", dict(tensor({2}, {1}))}})},
      {"a storage that is too short", archive(dict(tensor({2}, {1})), floats().substr(4))},
      {"a tensor beyond its storage", archive(dict(tensor({2, 4}, {3, 1})))},
      {"an offset beyond the storage", archive(dict(tensor({2, 3}, {3, 1}, 1)))},
      {"a negative offset", archive(dict(tensor({2, 3}, {3, 1}, -1)))},
      {"a negative stride", archive(dict(tensor({2, 3}, {-3, 1}, 5)))},
      {"a negative size", archive(dict(tensor({-2}, {1})))},
      {"a shape that overflows", archive(dict(tensor({INT64_MAX, INT64_MAX}, {0, 0})))},
      {"a reach that overflows", archive(dict(tensor({3, 2}, {INT64_MAX, INT64_MAX})))},
      {"a value repeated without end", archive(dict(tensor({int64_t{1} << 40}, {0})))},
      {"too many dimensions", archive(dict(tensor(std::vector<int64_t>(64, 1), std::vector<int64_t>(64, 1))))},
      {"a type that is no storage", archive(dict(tensor({2}, {1}, 0, 6, "Tensor")))},
      {"a quantized storage", archive(dict(tensor({2}, {1}, 0, 6, "QInt8Storage")))},
      {"endless nesting", archive("\x80\x02" + std::string(5000, ']') + std::string(4999, 'a') + ".")},
      {"a list within itself", archive(std::string("\x80\x02]q\0h\0a.", 9))},
      {"lists that multiply", archive(laugh + ".")},
      {"an endless name", archive("\x80\x02}" + text(std::string(5000, 'k')) + tensor({2}, {1}) + "s.")},
      {"an endless pickle", archive("\x80\x02" + std::string(2 << 20, 'N') + ".")},
      {"attributes of a list", archive("\x80\x02]}b.")},
      {"an empty stack", archive("\x80\x02.")},
      {"a missing mark", archive("\x80\x02]e.")},
      {"items below a mark", archive("\x80\x02]}(a.")},
      {"a text without an end", archive("\x80\x02X\xff\xff\xff\xffz.")},
      {"an object of its own making", archive("\x80\x02" + global("torch", "Size") + ")\x81.")},
      {"a parameter of nothing", archive(dict(global("torch._utils", "_rebuild_parameter") + ")R"))},
      {"a storage that is called", archive(dict(global("torch", "FloatStorage") + ")R"))}};
  for (const auto& [what, bytes] : bad) expect(!said(bytes).empty(), std::string("torch file: refuses ") + what);

  // Members that share bytes: the second begins where the first one does.
  std::string shared = archive(dict(tensor({2}, {1})));
  const size_t second = shared.find("PK\1\2", shared.find("PK\1\2") + 1);
  std::fill_n(shared.begin() + static_cast<std::ptrdiff_t>(second + 42), 4, '\0');
  expect(said(shared).find("overlap") != std::string::npos, "torch file: refuses members that overlap");
}

void use(const std::string& path) {
  const TorchFile any(path);
  for (const std::string& key : any.keys())
    if (refused([&] { any.floats(key); })) refused([&] { any.integers(key); });
}

void check_damaged() {
  const TemporaryFile file;
  const std::string several = "\x80\x02}(" + text("a") + tensor({3, 2}, {1, 3}) + text("b") + "](" + tensor({2}, {1}) +
                              tensor({2}, {2}, 1) + "eu.";
  const std::string old = "\x80\x02}(" + text("a") + tensor({3, 2}, {1, 3}, 0, 6, "FloatStorage", "N") + "u.";
  for (const std::string& sound : {archive(several), stream(old)}) {
    int accepted = 0;
    for (size_t size = 0; size < sound.size(); ++size)
      accepted += !refused([&] { use(file.write(sound.substr(0, size))); });
    expect(accepted == 0, "torch file: a truncated file is refused wherever it ends");
    fuzz("torch file", sound, 4000, [&](const std::string& bytes) { use(file.write(bytes)); });
  }
}

}  // namespace

void check_torch_file() {
  check_sound();
  check_hostile();
  check_damaged();
}

}  // namespace moshi
