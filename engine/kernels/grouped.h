#pragma once

#include <cstddef>

#include "engine/kernels/conv_line.h"

namespace plica {

/// Whether grouped_function() computes the convolution: of several groups, in two dimensions, with
/// kernels three pixels wide, by steps of one or two. Groups have a few channels that divide a
/// vector, or at least a vector of output channels, but so few input channels that the weights of
/// some vectors stay in the second level of the cache.
bool grouped_fits(const IgemmShape& shape);

/// Whether grouped_function() computes several lines at a time: groups after each other, so that
/// each row of the input is copied once, and weights are read once.
bool grouped_many_lines(const IgemmShape& shape);

/// Output channels of a line are computed by multiples of this.
int64_t grouped_step(const IgemmShape& shape);

/// Bytes of scratch memory.
size_t grouped_scratch_bytes(const IgemmShape& shape);

/// Floats of packed weights.
size_t grouped_packed_size(const IgemmShape& shape);
/// To [vector][tap of axis 1][ic][tap of axis 2][lanes]; operands as igemm_pack_columns(). The last
/// vector of a group, or of a few channels that share vectors, overlaps the one before it.
void grouped_pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
                  float* packed);

/// The function for this processor; biases are [groups * oc]. An output element is the sum over the
/// taps that lie inside the input, in the order of rows, input channels, columns. Error of an
/// element: below (taps * ic + 2) * 2^-24 * sum |x w|.
ConvLineFn grouped_function(const IgemmShape& shape);

}  // namespace plica
