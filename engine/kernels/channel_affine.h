#pragma once

#include <cstddef>

namespace plica {

/// dst[r][i] = min(hi, max(lo, scale * src[r][i] + shift + residual[r][i])) for r < rows,
/// i < columns, with a fused multiply-add where the CPU has one. Row r of `src` starts at
/// src + r * src_stride (floats), the others likewise; `residual` may be null.
///
/// dst may be src or residual, with the same stride; else it overlaps neither. No alignment is
/// needed, nothing is read or written beyond the columns. NaN stays NaN. At most two roundings
/// (three with a residual), the same for an element wherever it lies. Single-threaded.
struct AffineRows {
  const float* src = nullptr;
  size_t src_stride = 0;
  const float* residual = nullptr;
  size_t residual_stride = 0;
  float* dst = nullptr;
  size_t dst_stride = 0;
  size_t rows = 0, columns = 0;
  const float* scale = nullptr;
  const float* shift = nullptr;
  float lo = -__builtin_inff(), hi = __builtin_inff();
};

/// Channels lie in the columns: scale[i], shift[i].
void affine_by_column(const AffineRows& problem);

/// A channel is a row: scale[(first_row + r) % channels], the same for shift.
void affine_by_row(const AffineRows& problem, size_t first_row, size_t channels);

}  // namespace plica
