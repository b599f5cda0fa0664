#pragma once

#include <memory>

#include "engine/kernels/pool.h"

namespace plica {

/// The largest index that floats count up to without a gap.
inline constexpr int64_t kMostIndices = int64_t{1} << 24;

/// Max pooling as make_pool_kernel() does it, whose args.out[1], laid out like args.out[0], gets
/// where in its plane [D, H, W] of the input each maximum is: the first of several, or the last
/// NaN. A plane has at most kMostIndices elements.
std::unique_ptr<Kernel> make_max_pool_with_indices(PoolProblem problem);

}  // namespace plica
