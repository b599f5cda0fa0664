#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/base/tensor_desc.h"

namespace plica {

/// Where a block comes from and where it goes, in elements from the operands' first ones.
struct GatherPlace {
  int64_t src = 0;
  int64_t dst = 0;
};

/// A kernel that copies, for each place, a block of args.in[0], laid out as `src`, to args.out[0],
/// laid out as `dst`; both as for StridedCopy. The destinations do not overlap. Exact.
std::unique_ptr<Kernel> make_gather(const TensorDesc& src, const TensorDesc& dst,
                                    std::vector<GatherPlace> places);

}  // namespace plica
