#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/graph/step_builder.h"
#include "engine/kernels/igemm_kernel.h"
#include "engine/onednn/onednn_conv.h"
#include "engine/ops/bind_epilogue.h"

namespace plica {

/// Emits the step as oneDNN's if that is asked for and can be; false, with nothing done, if not.
/// `read` returns the weights as floats, which it may put into a vector that it is given; `from`
/// says where they are among these. `bias` as for emit_conv().
template <typename Read>
bool emit_onednn(StepBuilder& builder, PackedEpilogue& epilogue, IgemmOperands operands,
                 const IgemmShape& shape, IgemmWeights from, Read&& read,
                 const std::vector<double>& bias) {
  if (!builder.use_onednn()) return false;
  const std::shared_ptr<const OnednnConv> conv = OnednnConv::create(shape, epilogue.bound.residual);
  if (!conv) return false;
  PackedWeights packed = builder.pack(conv->layout(), conv->packed_size(), [&](float* to) {
    std::vector<float> scratch;
    from.data = read(scratch);
    conv->pack(from, to);
  });
  PackedWeights packed_bias =
      builder.pack("onednn bias", static_cast<size_t>(shape.groups * shape.oc),
                   [&](float* to) { std::copy(bias.begin(), bias.end(), to); });
  BoundEpilogue bound = epilogue.bound;
  bound.bias = packed_bias.data();
  const float* weights = packed.data();
  auto owner = std::make_shared<std::vector<PackedWeights>>(std::move(epilogue.owners));
  owner->push_back(std::move(packed));
  owner->push_back(std::move(packed_bias));
  builder.set_workspace(0, conv->bytes_per_thread());
  builder.emit(conv->make(weights, bound, operands, std::move(owner)), conv->name());
  return true;
}

}  // namespace plica
