// Gathers small operations of a program that need one another, so that they become one cooperative launch: between two
// launches a GPU idles for longer than such an operation takes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cuda/card.h"
#include "cuda/kernels/stages.h"

namespace moshi {

class StageRun {
 public:
  // Tries out whether this GPU and its driver can.
  explicit StageRun(Card& card);
  ~StageRun();
  StageRun(const StageRun&) = delete;
  StageRun& operator=(const StageRun&) = delete;

  bool possible() const { return possible_; }
  // Why not.
  const std::string& note() const { return note_; }

  // False: it is none that can be gathered. `alone` launches it as it is launched otherwise, which is what becomes of
  // it when no other follows.
  bool add(LinearForm form, const LinearStage& stage, int64_t n, std::function<void()> alone);
  bool add(const AttendStage& stage, int64_t n);
  // The stage added last, if it is one of attention: what may still be said of it.
  AttendStage* last_attend();
  // What was gathered.
  void launch();
  void forget();

 private:
  void try_out();
  void add(const Stage& stage, int64_t n, int tiles, int64_t shared_bytes);

  Card& card_;
  bool possible_ = false;
  std::string note_;
  gpu::GridMeeting* meeting_ = nullptr;
  Stages stages_{};
  std::optional<LinearForm> form_;  // of the layers
  std::function<void()> alone_;     // the only stage there is, if it has one
  int tiles_ = 0;                   // of the stage that has the most
  size_t shared_bytes_ = 0;
};

}  // namespace moshi
