#pragma once

#include <cstdint>

#include "engine/kernels/igemm.h"

namespace plica {

/// Lines of output pixels along axis 2, one below the other, as kernels compute them that are
/// vectorised over channels.
struct ConvLine {
  const IgemmShape* shape;
  const BoundEpilogue* epilogue;
  const float* packed;
  const float* src;       ///< The sample.
  int64_t z0, y0;         ///< Input position of tap 0 on axes 0 and 1, for the first line.
  const float* residual;  ///< Of pixel 0 of the first line, or null.
  float* dst;             ///< Of pixel 0 of the first line.
  int64_t begin, end;     ///< Channels of all groups to compute.
  float* scratch;         ///< Of the calling thread.
  int64_t count = 1;      ///< Lines.

  /// Floats from pixel 0 of a line to that of the line below it, where pixels are `pixel` apart.
  int64_t step(int64_t pixel) const {
    return shape->axis[1].dst_step * shape->axis[2].dst_size * pixel;
  }
  /// Goes on to the lines from number `lines` on.
  void skip(int64_t lines) {
    y0 += lines * shape->axis[1].stride;
    if (residual) residual += lines * step(shape->residual_pixel);
    dst += lines * step(shape->dst_pixel);
    count -= lines;
  }
};

/// Computes one line, or several if LineMethod::many_lines, but for the tail of the epilogue.
using ConvLineFn = void (*)(const ConvLine& line);

/// Channels of all groups.
inline int64_t output_channels(const IgemmShape& shape) { return shape.groups * shape.oc; }

}  // namespace plica
