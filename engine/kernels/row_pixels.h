#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/row_conv.h"

namespace plica {

/// Whether neighbouring pixels should be the lanes of a vector, instead of channels: output
/// channels would leave much of it empty. The rows of a band are one run of pixels, from which the
/// columns between rows are left out at the end.
bool row_pixels_fit(const IgemmShape& shape, const RowConvSource& source);

/// What a pixel takes, in multiplications.
double row_pixels_cost(const IgemmShape& shape);

/// Floats of the weights that row_pixels_pack() writes: [group of channels][depth][channels of it].
size_t row_pixels_packed_size(const IgemmShape& shape);
void row_pixels_pack(const IgemmShape& shape, const IgemmWeights& weights, float* packed);

/// Output rows of a band, at most, and the floats of scratch memory that it needs.
int64_t row_pixels_band(const RowConv& conv);
size_t row_pixels_scratch(const RowConv& conv);

/// Each output is one sum in the order (channel, y, x), with an error as of row_direct_function().
RowBandFn row_pixels_function();

}  // namespace plica
