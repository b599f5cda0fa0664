#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/row_conv.h"

namespace plica {

/// To [panel of two vectors][depth][width of the panel]; `packed` is zeroed.
void row_direct_pack(const IgemmShape& shape, const RowConvSource& source,
                     const IgemmWeights& weights, float* packed);

/// Output rows of a band, at most, and the floats of scratch memory that it needs.
int64_t row_direct_band(const IgemmShape& shape);
size_t row_direct_scratch(const IgemmShape& shape);

/// Each output is one sum in the order (channel, y, x) or (y, x, channel), by layout, so its error
/// is below (depth + 2) * 2^-24 * sum |x w|.
RowBandFn row_direct_function();

}  // namespace plica
