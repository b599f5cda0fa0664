#pragma once

#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/kernels/depthwise.h"
#include "engine/kernels/igemm_kernel.h"

namespace plica {

/// Convolutions that depthwise_fits() takes. Parts are as for make_igemm(), but with weights packed
/// by depthwise_pack() and biases of depthwise_padded_channels().
std::unique_ptr<Kernel> make_depthwise(std::vector<IgemmPart> parts, IgemmOperands operands,
                                       std::shared_ptr<const void> owner);

}  // namespace plica
