#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/kernel.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// Softmax, or its logarithm, along one axis, with the maximum subtracted first.
///
/// src in any memory; fast if `axis`, or any other axis, has stride 1 in both src and dst. dst may
/// be src if their strides agree. A NaN, an infinity or nothing but -inf along the axis gives what
/// PyTorch gives: NaN. Within 4 units in the last place of the exact softmax for up to 1000
/// elements. The bits of an element depend on its own axis alone.
struct SoftmaxProblem {
  TensorDesc src, dst;
  int64_t axis = 0;
  bool log = false;
};

/// Reads args.in[0], writes args.out[0].
std::unique_ptr<Kernel> make_softmax_kernel(const SoftmaxProblem& problem);

}  // namespace plica
