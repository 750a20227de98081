// The driver's table, which images a card takes, what the emulated driver finds out, and what a card makes of every
// call that may fail.
#include "tests/check_gpu_driver.h"

#include <filesystem>
#include <fstream>
#include <vector>

#include "core/system.h"
#include "cuda/card.h"
#include "cuda/fingerprint.h"
#include "cuda/host/emulated_driver.h"
#include "cuda/host/kernel_table.h"
#include "cuda/host/sanitizers.h"
#include "cuda/kernels/kernels.h"
#include "files/file.h"
#include "files/json.h"
#include "tests/check_tools.h"

namespace moshi {

using gpu::host::emulated_driver;
using gpu::host::emulated_report;
using gpu::host::StandInKernels;

namespace {

using Strings = std::vector<std::string>;

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Folder {
 public:
  Folder() { std::filesystem::create_directory(path_of(file_.path())); }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_of(file_.path()), ignored);
  }
  const std::string& path() const { return file_.path(); }

 private:
  TemporaryFile file_;
};

struct Made {
  int arch;
  bool cubin;
  int ptx = 70;
};

// The images that a GPU loads for one kernel, of a folder with these; or the error.
Strings loaded(int arch, int ptx, const std::vector<Made>& images) {
  const Folder folder;
  StandInKernels::write_index(folder.path(), "norm");
  for (const Made& image : images) StandInKernels::write(folder.path(), "norm", image.arch, image.ptx, image.cubin);
  std::ofstream(path_of(folder.path() + "/norm.sm_80.txt")) << "none of ours";
  if (arch == 87)
    std::ofstream(path_of(folder.path() + "/norm.sm_87.cubin")) << "\x7f"
                                                                   "ELF, for another GPU";
  const auto api = emulated_driver({.arch = arch, .ptx = ptx});
  const std::string error = refusal([&] {
    Card card(api, {.kernels = folder.path()});
    expect(emulated_report().images.size() == 1, "one image shows what the driver takes");
    float* x = static_cast<float*>(card.allocate(64));
    for (int twice = 0; twice < 2; ++twice) GPU_RUN(card, add_bias, LaunchShape{}, x, x, 16);
    GPU_RUN(card, gate, LaunchShape{}, Activation::Silu, x, x, 8);
    card.wait();
  });
  return error.empty() ? emulated_report().images : Strings{error};
}

void check_images() {
  const Made c75{75, true}, c80{80, true}, c86{86, true}, c90{90, true};
  const Made p61{61, false, 60}, p75{75, false, 65}, p80{80, false, 70}, p90{90, false, 78};
  const auto expect_loaded = [](const Strings& got, const std::string& want, const std::string& what) {
    expect(got == Strings{want}, what + (got.empty() ? "" : ", not " + got[0]));
  };
  expect_loaded(loaded(80, 87, {p61, p75, p80, p90, c75, c80, c86, c90}), "cubin sm_80",
                "a GPU's own machine code is first");
  expect_loaded(loaded(89, 87, {p61, p80, c75, c80, c86, c90}), "cubin sm_86", "then that of its generation before it");
  expect_loaded(loaded(80, 87, {p61, p75, p80, p90, c75, c86, c90}), "ptx sm_80", "then PTX");
  expect_loaded(loaded(89, 87, {p61, p80, p90, c75}), "ptx sm_80", "the newest that it can run");
  expect_loaded(loaded(120, 66, {p61, p75, p80, p90}), "ptx sm_75", "and that its driver reads");
  expect_loaded(loaded(61, 60, {p61, p75, c75}), "ptx sm_61", "an old GPU with an old driver");

  expect_loaded(loaded(87, 87, {p80}), "ptx sm_80", "machine code that the GPU refuses is passed over");

  const std::string newer = loaded(61, 87, {p75, c75})[0];
  expect(says(newer, "sm_61") && says(newer, "norm.sm_75.cubin") && says(newer, "norm.sm_75.ptx"),
         "a GPU too old for all images is told what there is");
  expect(says(loaded(80, 87, {c75})[0], "take a newer GPU"), "machine code is for its own generation alone");
  const std::string older = loaded(80, 60, {p75, p80})[0];
  expect(
      says(older, "Unsupported .version 7.0") && says(older, "Unsupported .version 6.5") && says(older, "newer driver"),
      "a driver too old for all images is quoted");

  const auto api = emulated_driver();
  const Folder empty;
  for (const std::string& folder : {empty.path(), empty.path() + "/none"})
    expect(code([&] { Card card(api, {.kernels = folder}); }) == kNotBuilt, "a folder without images is an error");
  StandInKernels::write(empty.path(), "norm", 80, 70, false);
  expect(code([&] { Card card(api, {.kernels = empty.path()}); }) == kNotBuilt, "and so is one without an index");
  const auto index = [&](const std::string& fingerprint) {
    std::ofstream(path_of(empty.path() + "/kernels.json"))
        << R"({"fingerprint": ")" << fingerprint << R"(", "kernels": {"rms_norm": "norm", "add_bias": "other"}})";
  };
  index(std::string(kFingerprint) + "0");
  const std::string stale = refusal([&] { Card card(api, {.kernels = empty.path()}); });
  expect(says(stale, "not made of the sources of this build") && says(stale, "npm run build"),
         "images of other sources are refused: " + stale);
  index(kFingerprint);
  const auto run = [&](auto kernel) {
    Card card(api, {.kernels = empty.path()});
    kernel(card);
  };
  expect(code([&] {
           run([](Card& card) { GPU_RUN(card, gate, LaunchShape{}, Activation::Silu, nullptr, nullptr, 0); });
         }) == kNotBuilt,
         "a kernel that the index does not know is an error");
  const auto add = [](Card& card) { GPU_RUN(card, add_bias, LaunchShape{}, nullptr, nullptr, 0); };
  expect(code([&] { run(add); }) == kNotBuilt, "and so is a file that is not there");
  StandInKernels::write(empty.path(), "other", 90, 78, false);
  expect(says(refusal([&] { run(add); }), "the kernels of other are not there for sm_80"),
         "and one that is there for later GPUs alone");
  expect(emulated_report().mistakes.empty(), "nothing is left behind by cards that could not be made");
}

void check_refusals(const std::string& kernels) {
  expect(code([&] { Card card(std::make_shared<DriverApi>("libmoshi-none.so"), {.kernels = kernels}); }) == kGpuDriver,
         "a machine without a driver is told so");
  const auto api = emulated_driver({.memory = 1 << 20});
  auto bare = std::make_shared<DriverApi>(*api);
  bare->memory_free = nullptr;
  expect(says(refusal([&] { Card card(bare, {.kernels = kernels}); }), "cuMemFree"), "a function that lacks is named");

  Card card(api, {.kernels = kernels});
  void* kept = card.allocate(600'000);
  const std::string error = refusal([&] { card.allocate(500'000); });
  expect(says(error, "500224 bytes") && says(error, "448512 of 1048576 are free") && says(error, "600064 are"),
         "out of memory says what was asked, free and there: " + error);
  expect(code([&] { card.allocate(SIZE_MAX); }) == kGpuMemory &&
             code([&] { card.allocate(SIZE_MAX - 300); }) == kGpuMemory,
         "no size is too large for that");
  card.free(kept);
  card.free(card.allocate(500'000));
  expect(card.allocated() == 500'224, "what is kept is given back before memory is refused");
  const uint64_t key[] = {1};
  card.program(key, [&] { card.free(card.allocate(600'000)); });
  expect(card.allocated() == 600'064, "also the first time a program allocates");
  expect(card.available() == 1 << 20, "what is kept can be had");
}

// The words with which a card was lost.
template <typename Task>
std::string lost(const std::string& kernels, Task task) {
  const auto api = emulated_driver();
  std::string out;
  {
    Card card(api, {.kernels = kernels});
    float* memory = static_cast<float*>(card.allocate(1024));
    try {
      task(card, memory);
      card.wait();
    } catch (const Error& error) {
      out = error.code() == kGpuLost ? error.what() : "another error";
    }
    const int calls = emulated_report().calls;
    int same = 0;
    const auto again = [&](auto use) { same += refusal(use) == out; };
    const uint64_t key[] = {1};
    again([&] { card.allocate(1); });
    again([&] { card.write(memory, &same, 4); });
    again([&] { card.read(&same, memory, 4); });
    again([&] { card.copy(memory, memory + 8, 4); });
    again([&] { card.clear(memory, 4); });
    again([&] { card.wait(); });
    again([&] { card.program(key, [&] { card.clear(memory, 4); }); });
    expect(same == 7 && card.lost() && emulated_report().calls == calls,
           "a lost card says so ever after, and nothing else");
    card.free(memory);
  }
  {
    Card card(api, {.kernels = kernels});
    card.free(card.allocate(10));
    expect(!card.lost(), "a GPU can be used again after a card of it was lost");
  }
  expect(emulated_report().mistakes.empty(), "a lost card leaves nothing behind");
  return out;
}

void check_losses(const std::string& kernels) {
  const std::string beyond = "do not lie within one allocation";
  expect(says(lost(kernels, [](Card& card, float* memory) { card.copy(memory, memory + 200, 300); }), beyond),
         "a copy from beyond its memory is found out");
  expect(says(lost(kernels, [](Card& card, float* memory) { card.clear(memory + 250, 32); }), beyond),
         "clearing beyond it is found out");
  expect(says(lost(kernels, [](Card& card, float* memory) { card.copy_rows(memory, 400, memory, 12, 12, 4); }), beyond),
         "a row beyond it is found out");
  expect(says(lost(kernels, [](Card& card, float* memory) { card.copy(memory, memory + 1, 12); }), "overlap"),
         "a copy onto itself is found out");
  expect(says(lost(kernels,
                   [](Card& card, float* memory) {
                     void* freed = card.allocate(64);
                     card.free(freed);
                     card.give_back();
                     card.copy(memory, freed, 64);
                   }),
              beyond),
         "memory that was given back is not used");
  const std::string fault = lost(kernels, [](Card& card, float* memory) {
    const auto* unaligned = reinterpret_cast<const char*>(memory) + 1;
    const Linear a{.w = unaligned,
                   .scales = nullptr,
                   .x = memory,
                   .codes = nullptr,
                   .x_scales = nullptr,
                   .y = memory,
                   .x_stride = 4,
                   .y_stride = 1,
                   .rows = 1,
                   .cols = 4,
                   .blocks = 1,
                   .chunks = 1,
                   .groups = 0,
                   .group_share = 0,
                   .split = 1,
                   .add = false};
    GPU_RUN(card, linear_f32_1, LaunchShape{.threads = 128}, a);
  });
  expect(says(fault, "kernel linear_f32_1, block (0, 0, 0)"), "a kernel's fault comes with its name: " + fault);
}

// One of everything a card does; false when a number is wrong.
bool small_program(const std::shared_ptr<const DriverApi>& api, const std::string& kernels) {
  constexpr size_t kCount = (Staging::kPieces * Staging::kPieceBytes + 5000) / sizeof(float);
  const auto at = [](size_t i) { return static_cast<float>(i % 1000); };
  Card card(api, {.kernels = kernels});
  card.free(card.allocate(777));
  auto* x = static_cast<float*>(card.allocate(kCount * sizeof(float)));
  auto* y = static_cast<float*>(card.allocate(4096));
  std::vector<float> values(kCount);
  for (size_t i = 0; i < kCount; ++i) values[i] = at(i);
  card.write(x, values.data(), kCount * sizeof(float));
  const uint64_t key[] = {5};
  for (int i = 0; i < 3; ++i)
    card.program(key, [&] {
      card.clear(y, 4096);
      card.copy(y, x + kCount - 64, 32 * sizeof(float));
      card.copy_rows(y + 32, 128, x, 128, 128, 1);
      GPU_RUN(card, add_scaled, LaunchShape{}, y, y + 32, nullptr, 32);
    });
  card.free(card.allocate(777));
  std::vector<float> got(32);
  card.read(got.data(), y, 32 * sizeof(float));
  bool right = true;
  for (size_t i = 0; i < 32; ++i) right &= got[i] == at(kCount - 64 + i) + at(i);
  card.free(x);
  card.give_back();
  card.wait();
  return right;
}

// The n-th call of the driver fails, for every n there is: an error of its kind, or the right result all the same.
void check_faults(const std::string& kernels) {
  for (const auto& [status, lasting] : {std::pair{cu::kOutOfMemory, false},
                                        {cu::kNotSupported, false},
                                        {cu::kIllegalAddress, false},
                                        {cu::kUnknown, true}}) {
    int n = 0, errors = 0;
    for (bool failed = true; failed;) {
      ++n;
      const auto api = emulated_driver({.fault = {.which = n, .status = status, .lasting = lasting}});
      const std::string which = "call " + std::to_string(n) + " failing with " + std::to_string(status);
      try {
        expect(small_program(api, kernels), which + ": the result is right");
      } catch (const Error& error) {
        ++errors;
        const std::string want = status == cu::kOutOfMemory    ? kGpuMemory
                                 : status == cu::kNotSupported ? kGpuDriver
                                                               : kGpuLost;
        expect(error.code() == want && !says(error.what(), "\n"), which + ": " + error.code() + ", " + error.what());
      }
      failed = emulated_report().failed;
      for (const std::string& mistake : emulated_report().mistakes) expect(false, which + ": " + mistake);
    }
    expect(n > 60 && errors > 30, "a card meets failures in all of its calls");
  }
}

// A driver as strict as a real one, and more so.
void check_emulation() {
  const auto mistakes = [](auto task) {
    {
      const auto api = emulated_driver();
      api->init(0);
      cu::Context context = nullptr;
      api->context_retain(&context, 0);
      api->context_set(context);
      cu::Stream stream = nullptr;
      api->stream_create(&stream, cu::kNonBlocking);
      task(*api, stream);
      api->stream_destroy(stream);
      api->context_release(0);
    }
    const Strings found = emulated_report().mistakes;
    return found.empty() ? "" : found[0];
  };
  expect(mistakes([](const DriverApi&, cu::Stream) {}).empty(), "no mistake, no report");
  cu::Address memory = 0;
  expect(says(mistakes([&](const DriverApi& api, cu::Stream) { api.memory_allocate(&memory, 10); }), "left behind"),
         "memory that is left behind is reported");
  expect(says(mistakes([&](const DriverApi& api, cu::Stream) {
                api.memory_allocate(&memory, 10);
                reinterpret_cast<volatile char*>(memory)[gpu::host::kAddressSanitizer ? 9 : 10] = 0;
                api.memory_free(memory);
                api.memory_free(memory);
              }),
              gpu::host::kAddressSanitizer ? "is not allocated" : "written next to"),
         "memory that is overrun or freed twice is reported");
  expect(mistakes([&](const DriverApi& api, cu::Stream stream) {
           api.memory_allocate(&memory, 4);
           void* host = nullptr;
           api.host_allocate(&host, 4, 0);
           auto* value = static_cast<uint32_t*>(host);
           *value = 1;
           api.copy_in(memory, host, 4, stream);
           *value = 2;
           api.copy_out(host, memory, 4, stream);
           *value = 3;
           api.stream_wait(stream);
           expect(*value == 3, "nothing is done before somebody waits: what is staged is read late");
           api.memory_free(memory);
           api.host_free(host);
         }).empty(),
         "waiting is no mistake");
  expect(mistakes([&](const DriverApi& api, cu::Stream stream) {
           cu::Graph graph = nullptr;
           api.capture_begin(stream, cu::kThreadLocal);
           expect(api.memory_allocate(&memory, 4) == cu::kCaptureUnsupported &&
                      api.capture_end(stream, &graph) == cu::kCaptureInvalidated && !graph,
                  "what cannot be recorded spoils the recording");
         }).empty(),
         "a spoiled recording is no mistake of its own");
}

// Memory that the host cannot touch: a system call that has to read it refuses instead of ending the program.
void check_sealed(const std::string& kernels) {
  const TemporaryFile scratch;
  const system::FileHandle file = system::create_file(scratch.path());
  {
    Card card(emulated_driver({.memory = 16 << 20, .sealed = true}), {.kernels = kernels});
    const uint64_t value = 17;
    uint64_t got = 0;
    void* mine = card.allocate(1 << 20);
    card.write(mine, &value, sizeof(value));
    card.read(&got, mine, sizeof(got));
    expect(got == value && system::write_file(file, &value, sizeof(value)) == sizeof(value) &&
               system::write_file(file, mine, sizeof(value)) == -1,
           "what a GPU holds is only had by its driver");
    card.free(mine);
    card.give_back();
  }
  system::close_file(file);
  expect(emulated_report().mistakes.empty(), "and nothing of it is left behind");
}

// What the build made: a card runs with it, and the host knows all of its kernels.
void check_real_images(const std::string& folder) {
  check_gpu_card(folder);
  const Json index = Json::parse(read_whole(folder + "/kernels.json", 1 << 20), "kernels.json");
  const auto file_of = [&](const std::string& kernel) { return index.find("kernels")->find(kernel)->string(kernel); };
  for (const auto& [name, file] : index.find("kernels")->members())
    expect(gpu::host::host_kernel(name), "the host's table of kernels has " + name);
  for (const gpu::host::HostKernel& kernel : gpu::host::host_kernels())
    expect(index.find("kernels")->find(kernel.name), std::string("the images have ") + kernel.name);
#define MOSHI_APART(Form, form)                                                                       \
  for (const std::string kind : {"linear_" #form "_1", "linear_" #form "_8", "gemm_" #form "_32x32"}) \
    expect(file_of(kind) == kind.substr(0, kind.find('_')) + "." #form, kind + " has an image with its form alone");
  MOSHI_LINEAR_FORMS(MOSHI_APART)
#undef MOSHI_APART
}

}  // namespace

void check_gpu_driver(const std::string& images) {
  const StandInKernels kernels;
  if (!images.empty()) check_real_images(images);
  check_gpu_card(kernels.folder());
  check_images();
  check_refusals(kernels.folder());
  check_losses(kernels.folder());
  // Thousands of calls by one thread, which the sanitizer has nothing to say about.
  if (!gpu::host::kThreadSanitizer) check_faults(kernels.folder());
  check_emulation();
  check_sealed(kernels.folder());
}

}  // namespace moshi
