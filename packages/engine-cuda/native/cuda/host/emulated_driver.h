// A driver over the host's memory and fibers, for tests: behind cuda/driver.h's table there are GPUs on which every
// mistake shows. Work waits in its stream until somebody waits for it; fresh and freed memory hold garbage; copies have
// to lie within one allocation; what cannot be recorded spoils a recording; what is left behind at the end is reported.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cuda/driver.h"
#include "cuda/host/launch.h"

namespace moshi::gpu::host {

// A call that fails. Calls that give something back do so all the same, as a real driver's do.
struct DriverFault {
  std::string call = {};  // as "cuMemAlloc", without the suffix of its version; empty: any
  int which = 0;          // the first of them is 1; 0: none fails
  cu::Status status = cu::kUnknown;
  bool lasting = false;  // and all after it
};

struct EmulatedOptions {
  int arch = 80;  // of sm_80
  int cards = 1;
  bool cooperative = true;          // whether it has cooperative launches
  int multiprocessors = 1;          // each holds hundreds of fibers of a cooperative launch
  size_t memory = size_t{4} << 30;  // of each
  bool sealed = false;              // the host that touches that memory ends there, by a segmentation fault
  int ptx = 87;                     // the newest version of PTX it reads, 87 = 8.7
  Order order = {};                 // of blocks and threads
  DriverFault fault = {};
};

// A process has one driver at a time: the last of these pointers takes it away.
std::shared_ptr<const DriverApi> emulated_driver(const EmulatedOptions& options = {});

struct EmulatedReport {
  int calls = 0;
  bool failed = false;              // the fault has happened
  int launches = 0;                 // of kernels, those of graphs as well
  int graphs = 0;                   // that were launched
  size_t memory = 0;                // taken, of all cards
  std::vector<std::string> images;  // that were loaded, as "cubin sm_80"
  // What a program did wrong, or left behind when it gave its context back.
  std::vector<std::string> mistakes;
};
// Of the one there is, or of the last one.
EmulatedReport emulated_report();
void set_emulated_fault(const DriverFault& fault);

// A folder of images that have no code but the names of all kernels: tests need no compiler for GPUs.
class StandInKernels {
 public:
  StandInKernels();
  ~StandInKernels();
  StandInKernels(const StandInKernels&) = delete;
  StandInKernels& operator=(const StandInKernels&) = delete;
  const std::string& folder() const { return folder_; }
  // Writes what such a folder holds.
  static void write_all(const std::string& folder);
  // Writes one file of such a folder: kernels of this generation and PTX version, as machine code or as PTX.
  static void write(const std::string& folder, const std::string& file, int arch, int ptx, bool cubin);
  static void write_index(const std::string& folder, const std::string& file);

 private:
  std::string folder_;
};

}  // namespace moshi::gpu::host
