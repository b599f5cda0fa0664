#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"

namespace plica {

/// The windows of a pooling along one spatial axis, one per output position.
struct PoolAxis {
  struct Window {
    int64_t first;    ///< First input position inside the input.
    int64_t count;    ///< Positions inside the input; 0 for a window wholly in the padding.
    int64_t divisor;  ///< This axis' factor of the average's divisor.
  };
  int64_t in = 1;
  int64_t step = 1;  ///< Input positions between two taps of a window (dilation).
  std::vector<Window> windows{{0, 1, 1}};
};

/// Max or average pooling over windows that are a product of one range per axis.
///
/// src and dst [N, C, D, H, W] as Layout::kPixelRows with `src_pixel_stride`, `dst_pixel_stride`.
/// They must not overlap.
///
/// Maximum: exact; NaN if a tap is NaN; -inf for an empty window. Average: sum of the taps divided
/// by the product of the axes' divisors (or by `divisor`, if it is not 0); 0 for an empty window.
/// Windows of more than 16 taps are summed in float along rows of up to 128, and rows in double;
/// smaller ones in float, and multiplied by the reciprocal. The order depends on the window's place
/// in the image alone, and so do the bits of an element: neither on other samples nor on threads.
struct PoolProblem {
  enum class Kind { kMax, kAverage };
  Kind kind = Kind::kMax;
  int64_t batch = 0;
  int64_t channels = 0;
  int64_t src_pixel_stride = 0, dst_pixel_stride = 0;
  PoolAxis depth, height, width;
  int64_t divisor = 0;
  /// src has been summed along rows before: what is left is summed in double, however few there
  /// are.
  bool row_sums = false;
};

/// Reads args.in[0], writes args.out[0].
std::unique_ptr<Kernel> make_pool_kernel(PoolProblem problem);
/// The problem of a kernel that make_pool_kernel() has made; null for others.
const PoolProblem* pool_problem_of(const Kernel& kernel);

/// A kernel that can pool the images that it computes before it stores them.
class ImagePooler {
 public:
  virtual ~ImagePooler() = default;
  struct Pooled {
    std::unique_ptr<Kernel> kernel;
    size_t bytes_per_thread = 0;  ///< Of scratch memory.
  };
  /// A kernel that computes, to the same bits, what `pooling` does of this one's output; null if
  /// there is none.
  virtual Pooled with_pooling(const PoolProblem& pooling) const = 0;
};

}  // namespace plica
