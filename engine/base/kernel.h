#pragma once

#include <cstddef>

#include "engine/base/team.h"

namespace plica {

/// Pointers of one step, in the order of the node's inputs and outputs. Everything else (shapes,
/// strides, packed weights) the kernel has kept since the plan was made.
struct KernelArgs {
  const float* const* in;
  float* const* out;
  std::byte* workspace;  ///< As large as the step asked for, aligned, shared with other steps.
};

/// One step of a plan, bound to shapes and strides. Immutable, shared by sessions.
class Kernel {
 public:
  virtual ~Kernel() = default;

  /// Computes the step. Neither allocates nor throws nor locks. The bits written do not depend on
  /// team.size(). An input may be null where StepBuilder::input() was never called for it.
  virtual void run(const KernelArgs& args, Team& team) const noexcept = 0;
};

}  // namespace plica
