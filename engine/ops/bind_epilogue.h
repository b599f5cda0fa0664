#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/graph/op.h"
#include "engine/graph/step_builder.h"
#include "engine/kernels/epilogue.h"

namespace plica {

/// An epilogue ready for kernels, but for its bias, and what keeps its constants alive.
struct PackedEpilogue {
  BoundEpilogue bound;
  std::vector<PackedWeights> owners;
};

inline PackedEpilogue bind_epilogue(StepBuilder& builder, const Epilogue& epilogue) {
  PackedEpilogue result;
  BoundEpilogue& bound = result.bound;
  bound.residual = epilogue.residual;
  if (epilogue.activation.kind == Pointwise::kClamp) {
    bound.lo = static_cast<float>(epilogue.activation.a);
    bound.hi = static_cast<float>(epilogue.activation.b);
  } else {
    bound.activation = BoundPointwise(epilogue.activation);
  }
  if (epilogue.affine) {
    const auto pack = [&](const char* key, const std::vector<double>& values) {
      PackedWeights packed = builder.pack(key, values.size(), [&](float* to) {
        for (double value : values) *to++ = static_cast<float>(value);
      });
      result.owners.push_back(packed);
      return packed.data();
    };
    bound.scale = pack("epilogue scale", epilogue.affine->scale);
    bound.shift = pack("epilogue shift", epilogue.affine->shift);
    bound.channels = epilogue.affine->channels();
  }
  bound.post = BoundPointwise(epilogue.post_activation);
  return result;
}

}  // namespace plica
