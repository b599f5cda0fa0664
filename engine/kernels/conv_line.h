#pragma once

#include <cstdint>

#include "engine/kernels/igemm.h"

namespace plica {

/// A line of output pixels along axis 2, as kernels compute it that are vectorised over channels.
struct ConvLine {
  const IgemmShape* shape;
  const BoundEpilogue* epilogue;
  const float* packed;
  const float* src;       ///< The sample.
  int64_t z0, y0;         ///< Input position of tap 0 on axes 0 and 1.
  const float* residual;  ///< Of pixel 0, or null.
  float* dst;             ///< Of pixel 0.
  int64_t begin, end;     ///< Channels of all groups to compute.
  float* scratch;         ///< Of the calling thread.
};

/// Computes one line, but for the tail of the epilogue.
using ConvLineFn = void (*)(const ConvLine& line);

/// Channels of all groups.
inline int64_t output_channels(const IgemmShape& shape) { return shape.groups * shape.oc; }

}  // namespace plica
