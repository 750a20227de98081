#include "addon/convert.h"
#include "addon/objects.h"
#include "cuda/probe.h"

namespace moshi {

namespace {

double number(uint64_t value) {
  return static_cast<double>(value);
}

Napi::Object to_object(Napi::Env env, const GpuInfo& gpu) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("index", gpu.index);
  out.Set("name", gpu.name);
  out.Set("uuid", gpu.uuid);
  out.Set("major", gpu.major);
  out.Set("minor", gpu.minor);
  out.Set("totalBytes", number(gpu.total_bytes));
  out.Set("freeBytes", number(gpu.free_bytes));
  out.Set("bandwidth", number(gpu.bandwidth));
  out.Set("multiprocessors", gpu.multiprocessors);
  out.Set("integrated", gpu.integrated);
  out.Set("ecc", gpu.ecc);
  out.Set("mig", gpu.mig);
  Napi::Array processes = Napi::Array::New(env);
  for (const GpuProcess& process : gpu.processes) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("pid", process.pid);
    one.Set("bytes", process.bytes ? Napi::Number::New(env, number(*process.bytes)) : env.Null());
    processes.Set(processes.Length(), one);
  }
  out.Set("processes", processes);
  return out;
}

}  // namespace

// probeGpus({ cuda, nvml }: names of the driver's libraries, for tests) → { gpus, driver, cudaVersion, problem? }
Napi::Value probe_gpus(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  DriverNames names;
  if (info[0].IsObject()) {
    const Napi::Object options = info[0].As<Napi::Object>();
    if (const std::string cuda = text_option(options, "cuda"); !cuda.empty()) names.cuda = cuda;
    if (const std::string nvml = text_option(options, "nvml"); !nvml.empty()) names.nvml = nvml;
  }
  const GpuReport report = guarded(env, [&] { return probe_gpus(names); });
  Napi::Object out = Napi::Object::New(env);
  Napi::Array gpus = Napi::Array::New(env);
  for (const GpuInfo& gpu : report.gpus) gpus.Set(gpus.Length(), to_object(env, gpu));
  out.Set("gpus", gpus);
  out.Set("driver", report.driver);
  out.Set("cudaVersion", report.cuda_version);
  if (report.problem) {
    Napi::Object problem = Napi::Object::New(env);
    problem.Set("code", report.problem->code);
    problem.Set("message", report.problem->message);
    out.Set("problem", problem);
  }
  return out;
}

}  // namespace moshi
