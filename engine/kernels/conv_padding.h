#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/rounding.h"
#include "engine/kernels/igemm.h"

namespace plica {

/// Some of a convolution's output positions, and the taps that they need.
struct ConvPart {
  IgemmShape shape;
  std::vector<int64_t> taps;  ///< Those of the whole that `shape` has, in its order.
};

/// What of a convolution reads more than padding: without the taps that no output position has
/// inside the input; cut along axes, where that saves much, into parts whose positions have the
/// same taps inside. Of a kernel dilated by more than the image is large, its middle is left.
/// A tap left out would have added its weight times 0. `rounding` says what kernels may do. The
/// parts' weights, of which several may have the same, take at most `spare_bytes` more than those
/// of the whole.
std::vector<ConvPart> without_padding(const IgemmShape& shape, Rounding rounding,
                                      int64_t spare_bytes);

}  // namespace plica
