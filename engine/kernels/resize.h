#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"

namespace plica {

/// How one output position of an axis is made: (1 - weight) * in[lower] + weight * in[upper].
struct ResizeTap {
  int64_t lower = 0;
  int64_t upper = 0;
  double weight = 0;
};

/// Resizing of images of one to three spatial axes, as upsampling layers do it. Their channels are
/// fastest; planes are as many images of one channel.
struct ResizeProblem {
  int64_t n = 1;
  int64_t c = 1;
  std::array<int64_t, 3> in{1, 1, 1};  ///< Depth, height, width.
  int64_t src_pixel_stride = 1;
  int64_t dst_pixel_stride = 1;
  std::array<std::vector<ResizeTap>, 3> taps;  ///< By output position of each axis.
  /// How many of the last axes are interpolated. 0: only `lower` counts, and elements are moved.
  int linear_axes = 0;
};

/// args.in[0]: [n, depth, height, width, c] with src_pixel_stride; args.out[0]: the same with
/// dst_pixel_stride, and as many positions as there are taps. They do not overlap. Within a pixel
/// the width is interpolated first, then the height, then the depth; in dense images of one channel
/// it is the width last. Weights are rounded to float32 and each product-sum rounds at most twice,
/// so that the error is below 6 epsilon times the largest of the elements that take part. A weight
/// of 0 still multiplies, so NaN and infinity spread as they do in PyTorch.
std::unique_ptr<Kernel> make_resize(const ResizeProblem& problem);

/// Scratch memory that each thread of make_resize() needs.
size_t resize_bytes_per_thread(const ResizeProblem& problem);

}  // namespace plica
