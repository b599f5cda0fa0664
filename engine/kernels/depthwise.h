#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/kernels/igemm_kernel.h"

namespace plica {

/// Convolutions with as many output as input channels per group: one, or a few that divide a
/// vector. Parts are as for make_igemm(), but with weights and biases packed by the functions
/// below. Vectorised over channels; an output element is the sum over the taps that lie inside the
/// input, in the order of rows, input channels, columns. Error of an element: below (taps * ic + 2)
/// * 2^-24 * sum |x w|.
std::unique_ptr<Kernel> make_depthwise(std::vector<IgemmPart> parts, IgemmOperands operands,
                                       std::shared_ptr<const void> owner);

bool depthwise_fits(const IgemmShape& shape);

/// Channels of all groups rounded up to what the packed weights and biases have room for.
size_t depthwise_padded_channels(const IgemmShape& shape);
/// To [taps][ic][depthwise_padded_channels()], which is zeroed; operands as igemm_pack_columns().
void depthwise_pack(const IgemmShape& shape, const IgemmWeights& weights,
                    const IgemmColumns& columns, float* packed);

}  // namespace plica
