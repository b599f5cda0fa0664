#pragma once

#include <cstdint>

#include "engine/kernels/pool.h"

namespace plica {

/// Windows of more taps are summed by rows, ...
inline constexpr int64_t kMaxFloatTaps = 16;
/// ... of which those with more are summed in double as well.
inline constexpr int64_t kMaxFloatRow = 128;

/// One row of output pixels. Steps count floats.
struct PoolRow {
  const float* src;  ///< Pixel 0 of the first row of the first plane of the windows.
  float* dst;
  int64_t channels, pixel_stride, dst_stride;
  int64_t planes, plane_step;
  int64_t rows, row_step;
  int64_t col_step;
  const PoolAxis::Window* windows;
  int64_t pixels;
  int64_t even_begin, even_end;  ///< Windows of one size and divisor, ...
  int64_t even_step;             ///< ... so many floats apart.
  /// Floats from the first of an input row on that may be read, and from dst on that may be
  /// written, because they are written later.
  int64_t readable, writable;
  int64_t outer_divisor;  ///< Product of depth's and height's divisors, or the override.
  bool fixed_divisor;
  bool row_sums;  ///< PoolProblem::row_sums.
};

using PoolRowFn = void (*)(const PoolRow&);
PoolRowFn pool_row_function(PoolProblem::Kind kind);

}  // namespace plica
