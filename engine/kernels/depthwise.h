#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/igemm.h"

namespace plica {

/// Whether the convolution has as many output as input channels per group: one, or a few that
/// divide a vector.
bool depthwise_fits(const IgemmShape& shape);

/// Of all groups.
inline int64_t depthwise_channels(const IgemmShape& shape) { return shape.groups * shape.oc; }
/// The same rounded up to what the packed weights and biases have room for.
size_t depthwise_padded_channels(const IgemmShape& shape);
/// To [taps][ic][depthwise_padded_channels()], which is zeroed; operands as igemm_pack_columns().
void depthwise_pack(const IgemmShape& shape, const IgemmWeights& weights,
                    const IgemmColumns& columns, float* packed);

/// A line of output pixels along axis 2.
struct DepthwiseLine {
  const IgemmShape* shape;
  const BoundEpilogue* epilogue;
  const float* packed;
  size_t padded;          ///< depthwise_padded_channels()
  const float* src;       ///< the sample
  int64_t z0, y0;         ///< input position of tap 0 on axes 0 and 1
  const float* residual;  ///< of pixel 0, or null
  float* dst;             ///< of pixel 0
  int64_t begin, end;     ///< channels to compute; `begin` is that of a whole vector
};

/// Computes one line, but for the tail of the epilogue. Vectorised over channels; an output element
/// is the sum over the taps that lie inside the input, in the order of rows, input channels,
/// columns. Error of an element: below (taps * ic + 2) * 2^-24 * sum |x w|.
using DepthwiseFn = void (*)(const DepthwiseLine& line);
/// The function for this processor, looked up once.
DepthwiseFn depthwise_function();

}  // namespace plica
