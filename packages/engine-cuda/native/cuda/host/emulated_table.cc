// The emulated driver as a table, and images for it.
#include <filesystem>
#include <fstream>
#include <random>

#include "core/path.h"
#include "cuda/fingerprint.h"
#include "cuda/host/emulated_state.h"

namespace moshi::gpu::host {

std::shared_ptr<const DriverApi> emulated_driver(const EmulatedOptions& options) {
  start_emulated(options);
  auto* table = new DriverApi;
  table->found = true;
#define MOSHI_FILL(function, needed, name, ...) table->function = name;
  MOSHI_DRIVER_FUNCTIONS(MOSHI_FILL)
#undef MOSHI_FILL
  return {table, [](const DriverApi* api) {
            stop_emulated();
            delete api;
          }};
}

StandInKernels::StandInKernels()
    : folder_(
          utf8(std::filesystem::temp_directory_path() / ("moshi-kernels-" + std::to_string(std::random_device{}())))) {
  std::filesystem::create_directory(path_of(folder_));
  write_all(folder_);
}

StandInKernels::~StandInKernels() {
  std::error_code ignored;
  std::filesystem::remove_all(path_of(folder_), ignored);
}

void StandInKernels::write_all(const std::string& folder) {
  write_index(folder, "all");
  write(folder, "all", 61, 60, false);
  write(folder, "all", 75, 65, false);
  write(folder, "all", 80, 70, false);
}

void StandInKernels::write(const std::string& folder, const std::string& file, int arch, int ptx, bool cubin) {
  const std::string name = file + ".sm_" + std::to_string(arch) + (cubin ? ".cubin" : ".ptx");
  std::ofstream(path_of(folder + "/" + name), std::ios::binary) << stand_in_image(arch, ptx, cubin);
}

void StandInKernels::write_index(const std::string& folder, const std::string& file) {
  std::string out;
  for (const HostKernel& kernel : host_kernels())
    out += (out.empty() ? "\"" : ",\n \"") + std::string(kernel.name) + "\": \"" + file + "\"";
  std::ofstream(path_of(folder + "/kernels.json"))
      << "{\"fingerprint\": \"" << kFingerprint << "\", \"kernels\": {" << out << "}}\n";
}

}  // namespace moshi::gpu::host
