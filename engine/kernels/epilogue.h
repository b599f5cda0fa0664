#pragma once

#include <cstdint>
#include <limits>

#include "engine/kernels/pointwise.h"

namespace plica {

/// What the kernels with weights do to a sum before it leaves the cache:
///   y = post(scale * activation(clamp(sum + bias + residual, lo, hi)) + shift)
/// Sums, bias, residual and clamp happen in registers, the rest (if has_tail()) on rows of the
/// finished block. NaN stays NaN in all of it.
struct BoundEpilogue {
  /// One for each output channel, never null. The kernel says how it is padded.
  const float* bias = nullptr;
  bool residual = false;
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();

  BoundPointwise activation;
  /// One for each channel, or null. Channels are columns, unless channel_rows is not 0: the channel
  /// of a row is then (first_row + row) / channel_rows % channels.
  const float* scale = nullptr;
  const float* shift = nullptr;
  int64_t channel_rows = 0;
  int64_t channels = 0;
  int64_t first_row = 0;
  BoundPointwise post;

  bool is_bounded() const {
    return lo != -std::numeric_limits<float>::infinity() ||
           hi != std::numeric_limits<float>::infinity();
  }
  bool has_tail() const { return activation || scale || post; }
};

/// The part after the clamp, on `count` elements of output row (pixel) `row` from column `column`
/// on.
void apply_tail(const BoundEpilogue& epilogue, int64_t row, int64_t column, float* data,
                int64_t count);

/// The same for rows [row, row + rows), which lie `pixel` floats apart.
void apply_tail_rows(const BoundEpilogue& epilogue, int64_t row, int64_t rows, int64_t pixel,
                     int64_t column, float* data, int64_t count);

}  // namespace plica
