#pragma once

#include <cstddef>

#include "engine/kernels/conv_line.h"

namespace plica {

/// Whether each group of the convolution has one input channel, and not very many outputs.
bool depthwise_fits(const IgemmShape& shape);

/// Channels rounded up to what the packed weights and biases have room for.
size_t depthwise_padded_channels(const IgemmShape& shape);
/// To [taps][depthwise_padded_channels()], which is zeroed; operands as igemm_pack_columns().
void depthwise_pack(const IgemmShape& shape, const IgemmWeights& weights,
                    const IgemmColumns& columns, float* packed);

/// The function for this processor. `line.begin` is a multiple of the lanes of a vector. An output
/// element is the sum over the taps that lie inside the input, in their order. Error of an element:
/// below (taps + 2) * 2^-24 * sum |x w|.
ConvLineFn depthwise_function();

}  // namespace plica
