#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/graph/op.h"
#include "engine/plan/plan.h"

namespace plica {

/// A stretch of a profiled run that one thread of the team was at work.
struct WorkSpan {
  int worker;
  int64_t start;  ///< Nanoseconds since the run began.
  int64_t nanoseconds;
};

/// How long one step of a profiled run took.
struct StepTiming {
  size_t step;
  int64_t start;  ///< Nanoseconds since the run began.
  int64_t nanoseconds;
  /// One for each worker and parallel loop, and those of worker 0 outside of loops.
  std::vector<WorkSpan> work;

  /// Time at work, summed over the threads: nanoseconds x threads if none ever waited.
  int64_t busy() const;
};

/// A plan with the memory to run it. One caller at a time.
class Executor {
 public:
  Executor() = default;

  /// Binds `plan`, growing the arena if need be. If it throws, the former plan stays bound.
  void bind(std::shared_ptr<const Plan> plan);
  const Plan& plan() const { return *plan_; }

  /// `inputs` and `outputs` point to dense row-major tensors of the plan's shapes. Neither
  /// allocates nor throws nor locks.
  void run(const float* const* inputs, float* const* outputs, int threads) noexcept;
  /// The same, then calling observe for each step.
  void run_profiled(const float* const* inputs, float* const* outputs, int threads,
                    const std::function<void(const StepTiming&)>& observe);

  /// The value called `name` as the last run left it, in row-major order. Needs
  /// PlanOptions::keep_values; null if the graph has no such value in the arena.
  std::unique_ptr<Array> value(std::string_view name) const;

 private:
  /// A pointer that depends on the caller's memory: pointers_[slot] = base + offset.
  struct Patch {
    size_t slot;
    int index;
    int64_t offset;
  };
  /// One kernel call; its operands are in pointers_.
  struct Call {
    const Kernel* kernel;
    KernelArgs args;
  };

  float* resolve(const Operand& operand, size_t slot);
  void patch(const float* const* inputs, float* const* outputs) noexcept;

  std::shared_ptr<const Plan> plan_;
  AlignedBuffer arena_;
  std::vector<float*> pointers_;
  std::vector<Call> calls_;
  std::vector<Patch> input_patches_, output_patches_;
};

}  // namespace plica
