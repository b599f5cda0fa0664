#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/team.h"

namespace plica {

/// Pointers of one step, in the order of the node's inputs and outputs. Everything else (shapes,
/// strides, packed weights) the kernel has kept since the plan was made.
struct KernelArgs {
  const float* const* in;
  float* const* out;
  std::byte* workspace;  ///< As large as the step asked for, aligned, shared with other steps.
};

/// Rows [begin, end) of an image.
struct RowRange {
  int64_t begin = 0, end = 0;
  int64_t count() const { return end - begin; }
};

/// The output and one input of a kernel as [images][rows][floats of a row], without gaps but for
/// those within a row.
struct RowLayout {
  int src = 0;  ///< Which input.
  int64_t images = 0;
  int64_t in_rows = 0, out_rows = 0;
  int64_t in_row = 0, out_row = 0;  ///< Floats from one row to the next.
  size_t scratch_bytes = 0;         ///< That run_rows() needs.
  size_t weight_bytes = 0;          ///< That run_rows() reads whatever the number of rows.
};

/// One step of a plan, bound to shapes and strides. Immutable, shared by sessions.
class Kernel {
 public:
  virtual ~Kernel() = default;

  /// Computes the step. Neither allocates nor throws nor locks. The bits written do not depend on
  /// team.size(). An input may be null where StepBuilder::input() was never called for it.
  virtual void run(const KernelArgs& args, Team& team) const noexcept = 0;

  // A kernel whose output rows each need few rows of an input can be computed in bands, right
  // behind the kernel that makes those rows, before they have left the cache (row_chain.h).

  /// Null if the kernel cannot.
  virtual const RowLayout* row_layout() const { return nullptr; }
  /// Input rows that these output rows of an image are computed from. Not fewer for more.
  virtual RowRange rows_needed(RowRange out) const noexcept { return out; }
  /// Computes these rows of one image on the calling thread, to the bits that run() computes.
  /// `args` are as for run(), except that only the rows needed and the rows computed exist, and
  /// that the workspace is row_layout()->scratch_bytes for this thread alone.
  virtual void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept {
    (void)args, (void)image, (void)out;
  }
};

}  // namespace plica
