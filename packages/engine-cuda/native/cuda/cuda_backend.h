// The CUDA backend: weights packed for the kernels, operations as their launches on one card. What the host lays down
// goes over by write(), what it asks for comes back by read(); between them nothing waits.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "core/thread_pool.h"
#include "cuda/card.h"
#include "cuda/kernels/attend.h"
#include "cuda/packed.h"
#include "cuda/stage_run.h"
#include "model/workspace.h"

namespace moshi {

class CudaBackend : public Backend {
 public:
  // threads 0: as many as suit this machine; they pack weights while a model is loaded.
  CudaBackend(std::shared_ptr<const DriverApi> driver, const CardOptions& options, int threads = 0);
  ~CudaBackend() override;

  std::string name() const override;
  const Card& card() const { return device_->card; }
  // Gives the driver back what is kept for later.
  void give_back();
  // Bytes of the card's memory that can be had.
  uint64_t free_memory();

  Buffer allocate(size_t floats) override;
  Workspace& workspace() override { return workspace_; }
  void copy_bytes(void* to, const void* from, size_t bytes) override;
  void write_bytes(void* to, const void* host, size_t bytes) override;
  void read_bytes(void* host, const void* from, size_t bytes) override;
  void copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t rows) override;
  Matrix pack(const StoredMatrix& stored) override;
  Matrix pack_table(StoredMatrix stored) override;

  void linear(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t n,
              bool add) override;
  void embed(const Matrix& table, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add) override;
  void embed_sum(std::span<const Lookup> tables, const int32_t* ids, int64_t id_stride, float* y, int64_t n) override;
  void norm(const Norm& norm, const float* x, float* y, int64_t n, int64_t dim) override;
  void activate(Activation kind, const float* x, float* y, int64_t count, float alpha) override;
  void gate(Activation kind, const float* x, float* y, int64_t n, int64_t h) override;
  void add_scaled(float* x, const float* update, const float* scale, int64_t n, int64_t dim) override;
  void add_bias(float* y, const float* bias, int64_t n, int64_t dim) override;
  void subtract(float* x, const float* y, int64_t count) override;
  void clear_absent(const int32_t* ids, int64_t id_stride, float* y, int64_t n, int64_t dim) override;
  bool unfolds() const override { return true; }
  void window(const ConvWindow& shape, const Streams& streams, const float* x, float* out) override;
  void window_of_activation(Activation kind, float alpha, const ConvWindow& shape, const Streams& streams,
                            const float* x, float* out) override;
  void scale_channels(const float* x, const float* weight, float* out, int64_t rows, int64_t taps,
                      int64_t channels) override;
  void overlap_add(const ConvOverlap& shape, const Streams& streams, const float* columns, const float* bias,
                   float* y) override;
  void append(const AttentionShape& shape, int layer, float* qkv, const Rows& rows) override;
  void attend(const AttentionShape& shape, int layer, const float* qkv, float* out, const Rows& rows) override;
  void linear_with(const Matrix& w, const float* x, int64_t x_stride, float* y, int64_t n,
                   const LinearEnd& end) override;
  void linear_of_norm(const Matrix& w, const Norm& norm, const float* x, float* y, int64_t n,
                      Activation after) override;
  void add_linear_of_attention(const Matrix& w, const AttentionShape& shape, int layer, const float* qkv,
                               const Rows& rows, const float* scale, float* y) override;
  void add_linear_of_gate(const Matrix& w, Activation kind, const float* x, const float* scale, float* y,
                          int64_t n) override;
  void nearest(const Matrix& table, const float* x, int32_t* codes, int64_t stride, int64_t n) override;
  void take_nearest(const Matrix& table, float* x, int32_t* codes, int64_t stride, int64_t n) override;
  void draw(const DrawData* rows, const int32_t* recent, float* logits, int64_t n, int64_t card, int32_t* drawn,
            int32_t* taken) override;

  void program(std::span<const uint64_t> key, const std::function<void()>& body) override;
  std::optional<Tuned> tune(const std::function<double()>& time) override;
  // Why small operations do not become one launch, though that is asked for; empty where they do.
  std::string stage_note() const { return device_->stages ? device_->stages->note() : ""; }
  // The card takes all of them at once.
  void share(int64_t count, const std::function<void(int64_t begin, int64_t end)>& task) override;
  void each(int64_t count, const std::function<void(int64_t)>& task) override;

 private:
  // Sessions come and go on other threads than the one that steps them; memory outlives the backend where somebody
  // still holds it.
  struct Device {
    Device(std::shared_ptr<const DriverApi> driver, const CardOptions& options)
        : card(std::move(driver), options), wants_stages(options.stages) {}
    Card card;
    bool wants_stages, gathers = false;  // gathers: within a program
    std::optional<StageRun> stages;      // from the first program on
    std::recursive_mutex mutex;
    std::mutex reading;
  };
  // The card, while nobody else uses it.
  class Locked {
   public:
    explicit Locked(Device& device) : lock_(device.mutex), card_(device.card) {}
    Card* operator->() const { return &card_; }
    Card& operator*() const { return card_; }

   private:
    std::unique_lock<std::recursive_mutex> lock_;
    Card& card_;
  };
  // After what was gathered for it.
  Locked card_now();
  // Whether it becomes a stage; if that remains the only one, the operation runs after all.
  bool gathered(const Matrix& w, LinearStage stage, int64_t n, std::function<void()> operation);
  bool gathered(const AttentionShape& shape, int layer, const float* qkv, const Rows& rows);
  // The stage that appends these, if that is the last one gathered: it can attend to them as well.
  AttendStage* gathered_append(int layer, const float* qkv);
  // y = a.w x, of floats or codes that a names.
  void multiply(const gpu::PackedLayout& layout, Linear a, float* y, int64_t y_stride, int64_t n, bool add);
  // As many tables as one launch takes, all of one type.
  void look_up(std::span<const Lookup> tables, const int32_t* ids, int64_t id_stride, float* y, int64_t n, bool add);
  // attend() to floats or codes that a names.
  void attend(const AttentionShape& shape, int layer, const float* qkv, const Rows& rows, Attend a);
  // rest: what the nearest are taken off, x or null.
  void find_nearest(const Matrix& table, const float* x, float* rest, int32_t* codes, int64_t stride, int64_t n);
  std::shared_ptr<char> weights(size_t bytes);

  std::shared_ptr<Device> device_;
  ThreadPool pool_;
  Workspace workspace_;
  Buffer arrived_;  // what the blocks of one launch count, zeros between launches
};

}  // namespace moshi
