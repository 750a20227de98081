#include "cuda/stage_run.h"

#include <algorithm>

#include "cuda/kernels/kernels.h"

namespace moshi {

namespace {

// Of the 48 kB that every block has, what the kernel does not take for itself.
constexpr int64_t kMostShared = 44 << 10;
constexpr int kThreads = 32 * kStageWarps;
// Blocks to a multiprocessor: more make their meetings longer.
constexpr int kResidents = 2;

}  // namespace

StageRun::StageRun(Card& card) : card_(card) {
  try {
    try_out();
  } catch (const DriverError& error) {
    if (card_.lost()) throw;
    possible_ = false;
    note_ = error.what();
  }
}

StageRun::~StageRun() {
  card_.free(meeting_);
}

void StageRun::try_out() {
  if (card_.blocks_at_once("meet_once", gpu::kWarp) == 0) {
    note_ = "this GPU or its driver has no cooperative launches";
    return;
  }
  meeting_ = static_cast<gpu::GridMeeting*>(card_.allocate(sizeof(gpu::GridMeeting)));
  const auto meet = [&] {
    GPU_RUN(card_, meet_once, (LaunchShape{.grid = {2}, .threads = gpu::kWarp, .cooperative = true}), meeting_);
  };
  meet();
  if (card_.graphs()) card_.play(meet);
  card_.wait();
  possible_ = true;
}

bool StageRun::add(LinearForm form, const LinearStage& s, int64_t n, std::function<void()> alone) {
  const int64_t bytes = n > kStageRows ? 0 : stage_bytes(form, s.input, s.cols, static_cast<int>(n));
  if (n > kStageRows || bytes > kMostShared) return false;
  if (s.input == StageInput::RmsNorm && s.cols > kStageNorm) return false;
  if (form_ && *form_ != form) launch();
  form_ = form;
  add({.kind = StageKind::Linear, .linear = s}, n, stage_tiles(s, static_cast<int>(n)), bytes);
  if (stages_.count == 1) alone_ = std::move(alone);
  return true;
}

bool StageRun::add(const AttendStage& s, int64_t n) {
  if (n > kStageRows || s.capacity > kStagePositions || s.page < s.capacity || s.head_dim % 4 != 0) return false;
  add({.kind = StageKind::Attend, .attend = s}, n, stage_tiles(s, static_cast<int>(n)), 0);
  return true;
}

void StageRun::add(const Stage& stage, int64_t n, int tiles, int64_t shared_bytes) {
  if (stages_.count == kMostStages || (stages_.count > 0 && stages_.n != n)) {
    const std::optional<LinearForm> form = form_;
    launch();
    form_ = form;
  }
  alone_ = nullptr;
  stages_.n = static_cast<int32_t>(n);
  stages_.stage[stages_.count++] = stage;
  tiles_ = std::max(tiles_, tiles);
  shared_bytes_ = std::max(shared_bytes_, static_cast<size_t>(shared_bytes));
}

AttendStage* StageRun::last_attend() {
  if (stages_.count == 0) return nullptr;
  Stage& last = stages_.stage[stages_.count - 1];
  return last.kind == StageKind::Attend ? &last.attend : nullptr;
}

void StageRun::launch() {
  if (stages_.count == 0) return;
  if (alone_) {
    const std::function<void()> alone = std::move(alone_);
    forget();
    return alone();
  }
  // Without a layer any form will do.
  const char* name = stages_name(form_.value_or(LinearForm::F32));
  const int at_once =
      std::min(card_.blocks_at_once(name, kThreads, shared_bytes_), kResidents * card_.multiprocessors());
  const LaunchShape shape{.grid = {std::max(1, std::min(tiles_, at_once))},
                          .threads = kThreads,
                          .shared_bytes = shared_bytes_,
                          .cooperative = true};
  stages_.meeting = meeting_;
  const Stages stages = stages_;
  forget();
  card_.launch<decltype(stages_f32)>(name, shape, stages);
}

void StageRun::forget() {
  stages_ = {};
  alone_ = nullptr;
  form_.reset();
  tiles_ = 0;
  shared_bytes_ = 0;
}

}  // namespace moshi
