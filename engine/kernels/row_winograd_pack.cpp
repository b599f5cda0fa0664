#include <algorithm>

#include "engine/kernels/row_winograd.h"
#include "engine/kernels/row_winograd_layout.h"
#include "engine/kernels/winograd_points.h"

namespace plica {
namespace {

/// The polynomial of a sequence of a row of weights, of these taps, at a point.
double value_at(const RowWinogradForm& form, int64_t point, int64_t first, int64_t last,
                const float* weights, const int64_t* tap_offset) {
  const int64_t points = form.points();
  if (point == points - 1) return weights[tap_offset[last]];
  const double p = winograd_point(points, point);
  double value = 0;
  for (int64_t tap = last; tap >= first; tap -= form.stride)
    value = value * p + weights[tap_offset[tap]];
  return value;
}

}  // namespace

size_t row_winograd_transformed_size(const IgemmShape& shape, const RowWinogradForm& form) {
  return static_cast<size_t>(form.products() * shape.axis[1].taps * shape.ic *
                             row_winograd::panels_of(shape).padded());
}

size_t row_winograd_packed_size(const IgemmShape& shape, const RowWinogradForm& form) {
  if (!form.per_run) return row_winograd_transformed_size(shape, form);
  return static_cast<size_t>(shape.depth() * row_winograd::panels_of(shape).padded());
}

void row_winograd_pack(const IgemmShape& shape, const RowWinogradForm& form,
                       const IgemmWeights& weights, const IgemmColumns& columns, float* packed) {
  const Panels panels = row_winograd::panels_of(shape);
  const int64_t rows = shape.axis[1].taps, end = columns.first + columns.count;
  packed += columns.first * (form.per_run ? shape.depth() : form.products() * rows * shape.ic);
  for (int64_t first = columns.first; first < end; first += panels.width()) {
    const int64_t width = panels.vectors(first / panels.width()) * panels.lanes;
    // Of an input channel, what value() says of the weights of each output channel.
    const auto write = [&](int64_t channel, const auto& value) {
      const float* from = weights.data + channel * weights.ic_stride;
      for (int64_t i = 0; i < std::min(width, end - first); ++i) {
        const float* column = from + (first - columns.first + i) * weights.oc_stride;
        packed[i] = static_cast<float>(value(column));
      }
      packed += width;
    };
    if (form.per_run) {
      for (int64_t k = 0; k < shape.depth(); ++k) {
        const int64_t offset = weights.tap_offset[k / shape.ic];
        write(k % shape.ic, [&](const float* column) { return column[offset]; });
      }
      continue;
    }
    for (int64_t point = 0; point < form.points(); ++point) {
      const int64_t sequences = form.sequences_at(point);
      for (int64_t k = 0; k < rows * sequences * shape.ic; ++k) {
        const int64_t row = k / shape.ic / sequences, sequence = k / shape.ic % sequences;
        const int64_t* offset = weights.tap_offset + row * form.taps;
        const int64_t tap = form.first_tap(sequence);
        const int64_t last = tap + (form.taps_of(sequence) - 1) * form.stride;
        write(k % shape.ic, [&](const float* column) {
          return value_at(form, point, tap, last, column, offset);
        });
      }
    }
  }
}

}  // namespace plica
