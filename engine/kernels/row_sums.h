#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/kernel.h"
#include "engine/base/tensor_desc.h"

namespace plica {

// A mean over whole images, as squeeze-and-excitation wants it, need not read them: the kernel that
// makes them sums up each row while that is in the cache.

/// A kernel that can sum up the rows of the images it writes.
class RowSummer {
 public:
  virtual ~RowSummer() = default;
  /// The same kernel, which also writes to args.out[1] the sum of each row's pixels, dense [images,
  /// rows, channels]; null if its output is no images. Sums are taken in float, pixel by pixel,
  /// whatever the number of threads: their error is below columns * 2^-24 * sum |x|.
  virtual std::unique_ptr<Kernel> with_row_sums() const = 0;
};

/// A kernel to which such sums may be enough.
class RowSumReader {
 public:
  virtual ~RowSumReader() = default;
  /// A kernel that computes the same from the sums in args.in[0]; null if it needs more than these.
  virtual std::unique_ptr<Kernel> from_row_sums() const = 0;
  /// [images, channels, rows, columns] of what is summed up.
  virtual Shape summed_shape() const = 0;
};

/// dst[c] = the sum of src[p * pixel + c] over `pixels` pixels, in their order.
using SumPixelsFn = void (*)(const float* src, int64_t pixels, int64_t pixel, int64_t channels,
                             float* dst);
SumPixelsFn sum_pixels_function();

}  // namespace plica
