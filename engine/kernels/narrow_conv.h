#pragma once

#include <cstddef>

#include "engine/kernels/conv_line.h"

namespace plica {

/// Whether narrow_function() computes the convolution: of so few output channels that a matrix
/// product, which puts them side by side, would leave most of its vectors empty. Each output
/// element is an inner product here.
bool narrow_fits(const IgemmShape& shape);

/// Time that it takes, in the unit of igemm_cost().
double narrow_cost(const IgemmShape& shape);

/// Floats of packed weights and biases.
size_t narrow_packed_size(const IgemmShape& shape);
size_t narrow_bias_size(const IgemmShape& shape);
/// To [taps of axes 0 and 1][vectors of input channels][taps of axis 2][oc][lanes], which is
/// zeroed; operands as igemm_pack_columns().
void narrow_pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
                 float* packed);
/// bias[oc], repeated for the pixels of a tile.
void narrow_pack_bias(const IgemmShape& shape, const float* bias, float* packed);

/// The function for this processor. A lane of a vector sums its channels of all taps that lie
/// inside the input, in the order of the weights; then the lanes are added by pairs. Error of an
/// element: below (taps * (ic / lanes + 1) + log2(lanes) + 2) * 2^-24 * (|bias| + sum |x w|).
ConvLineFn narrow_function(const IgemmShape& shape);

}  // namespace plica
