#include <algorithm>
#include <string>

#include "engine/base/ceil_div.h"
#include "engine/kernels/processor.h"
#include "engine/kernels/row_winograd.h"
#include "engine/kernels/row_winograd_layout.h"

namespace plica {

std::optional<RowWinogradForm> row_winograd_form(const IgemmShape& shape,
                                                 const RowConvSource& source, bool strict) {
  const IgemmAxis &y = shape.axis[1], &x = shape.axis[2];
  std::optional<RowWinogradForm> found;
  if (y.taps > row_winograd::kMostRows || x.taps <= x.stride) return found;
  double least = 0;
  for (int64_t segments = 1; segments * x.stride <= row_winograd::kMostSequences; ++segments) {
    for (const row_winograd::Form& f : row_winograd::kForms) {
      const RowWinogradForm form{f.out, x.taps, x.stride, ceil_div(x.taps, segments)};
      if (form.longest() != f.taps || (strict && form.points() != 4)) continue;
      const double cost = row_winograd_cost(shape, source, form);
      if (found && cost >= least) continue;
      found = form;
      least = cost;
    }
  }
  return found;
}

std::string row_winograd_name(const RowWinogradForm& form) {
  std::string name = "row_winograd " + std::to_string(form.out);
  if (form.segments() > 1) name += " of " + std::to_string(form.segments()) + " segments";
  if (form.per_run) name += " per run";
  return name;
}

double row_winograd_cost(const IgemmShape& shape, const RowConvSource& source,
                         const RowWinogradForm& form) {
  // What a float of sums and of inputs takes, in that of one of tiles of two dimensions, which go
  // through memory twice; fitted to the measurements in bench/README.md. Inputs are transformed
  // once for all panels of outputs, by vectors of channels, or of tiles of one channel that were
  // transposed before.
  constexpr double kSum = 0.9, kInput = 0.7, kTransposed = 3.6;
  constexpr int64_t kFewestTiles = 8;  // a register tile with fewer takes as long
  const IgemmAxis &y = shape.axis[1], &x = shape.axis[2];
  const FloatCost& float_cost = processor().float_cost;
  const Panels panels = row_winograd::panels_of(shape);
  const int64_t tiles = ceil_div(x.out, form.out);
  const int64_t rows = std::min(row_winograd::kBandRows, y.out);
  const int64_t run = tiles < row_winograd::kFewTiles ? tiles * rows : tiles;
  const bool pixels = source.column != 1;
  const int64_t vectors =
      pixels ? tiles * ceil_div(shape.ic, panels.lanes) : ceil_div(tiles, panels.lanes) * shape.ic;
  const auto count = [](int64_t n) { return static_cast<double>(n); };
  const double waste = std::max(1.0, count(kFewestTiles) / count(run));
  const double input_rows = count(rows_spanned(y, rows)) / count(rows);
  const double weights = count(form.products() * y.taps * shape.ic * panels.padded());
  return count(y.out) *
             (waste * count(tiles) * weights +
              kSum * float_cost.transformed * count(tiles * form.points() * panels.padded()) +
              (pixels ? kInput : kTransposed) * float_cost.transformed * input_rows *
                  count(vectors * panels.lanes * form.products())) +
         (form.per_run ? float_cost.kept_weight : float_cost.weight) * weights;
}

}  // namespace plica
