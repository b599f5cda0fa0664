#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/kernels/conv_line.h"
#include "engine/kernels/igemm_kernel.h"

namespace plica {

/// How lines are computed.
struct LineMethod {
  ConvLineFn function = nullptr;
  int64_t step = 1;  ///< Lines' channels begin, and end unless they are the last, with a multiple.
  size_t scratch_bytes = 0;  ///< For each thread.
  bool many_lines = false;   ///< Whether the function computes more than one at a time.
};

/// Convolutions computed line by line. Parts are as for make_igemm(), but with weights and biases
/// packed for the function.
std::unique_ptr<Kernel> make_conv_lines(const LineMethod& method, std::vector<IgemmPart> parts,
                                        IgemmOperands operands, std::shared_ptr<const void> owner);

}  // namespace plica
