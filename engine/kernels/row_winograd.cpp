#include "engine/kernels/row_winograd.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/panels.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/row_direct.h"
#include "engine/kernels/winograd_points.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_winograd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/math-inl.h"
#include "engine/kernels/row_tile-inl.h"
#include "engine/kernels/transpose-inl.h"
#include "engine/kernels/winograd_transform-inl.h"

#ifndef PLICA_ROW_WINOGRAD_ONCE
#define PLICA_ROW_WINOGRAD_ONCE
namespace plica::row_winograd {

/// F(out, taps of the longest phase); of the same taps, one is enough.
inline constexpr WinogradAxis kForms[] = {{3, 2}, {4, 3}, {5, 4}, {4, 5}, {5, 6}, {4, 7}, {2, 9}};

/// Output rows of a band, at most.
inline constexpr int64_t kBandRows = 16;
/// Tiles of a row whose sums are in scratch memory at a time: they stay in the first level of the
/// cache.
inline constexpr int64_t kBlockTiles = 28;

/// What lies where in scratch memory.
struct Scratch {
  int64_t tiles;                        // of a row
  int64_t lanes;                        // the same, rounded up to whole vectors
  int64_t width;                        // columns of input, with padding
  int64_t inputs;                       // that a tile reads
  int64_t step;                         // columns from one tile's to the next one's
  int64_t point;                        // floats of a row of transformed inputs, for one point
  int64_t row;                          // for all of them
  int64_t product, tile;                // floats of sums: of a point, of a tile
  int64_t input_rows;                   // of the band
  int64_t columns, planes, rows, sums;  // floats of all

  Scratch(const IgemmShape& s, const WinogradAxis& form, int64_t vector, int64_t band) {
    tiles = ceil_div(s.axis[2].out, form.out);
    lanes = round_up(tiles, vector);
    inputs = form.products();
    step = form.out * form.stride;
    width = (tiles - 1) * step + inputs;
    point = form.stride * s.ic * lanes;
    row = inputs * s.ic * lanes;
    product = 2 * vector;
    tile = form.points() * product;
    columns = round_up(width, 16);
    planes = round_up(inputs * lanes, 16);
    input_rows = rows_spanned(s.axis[1], band);
    rows = round_up(input_rows * row, 16);
    sums = std::min(tiles, kBlockTiles) * tile;
  }
  int64_t floats() const { return columns + planes + rows + sums; }
};

}  // namespace plica::row_winograd
#endif  // PLICA_ROW_WINOGRAD_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using row_winograd::Scratch;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

/// A row of one channel to the factors of its products, for all points.
template <class T>
HWY_NOINLINE void transform_row(const WinogradAxis& form, const Scratch& scratch,
                                const float* columns, float* planes, int64_t channels, float* to) {
  transpose(columns, scratch.step, scratch.tiles, scratch.inputs, scratch.lanes, planes);
  const D d;
  for (int64_t phase = 0; phase < form.stride; ++phase) {
    const bool whole = (T::kPoints - 1) * form.stride + phase < scratch.inputs;
    for (int64_t tile = 0; tile < scratch.lanes; tile += vector_lanes()) {
      V x[T::kPoints], y[T::kPoints];
      HWY_UNROLL(16)
      for (int i = 0; i < T::kPoints - 1; ++i) {
        x[i] = hn::Load(d, planes + (i * form.stride + phase) * scratch.lanes + tile);
      }
      const int64_t last = (T::kPoints - 1) * form.stride + phase;
      x[T::kPoints - 1] = whole ? hn::Load(d, planes + last * scratch.lanes + tile) : hn::Zero(d);
      transform_axis<T>(d, x, y);
      float* out = to + phase * channels * scratch.lanes + tile;
      HWY_UNROLL(16)
      for (int i = 0; i < T::kPoints - 1; ++i) hn::Store(y[i], d, out + i * scratch.point);
      if (whole) hn::Store(y[T::kPoints - 1], d, out + (T::kPoints - 1) * scratch.point);
    }
  }
}

/// Sums of products of some tiles at a point.
template <int kRows, int kVecs>
HWY_NOINLINE void multiply(const RowTile& t, int64_t step, float* to, int64_t to_row) {
  const D d;
  V sum[kRows][kVecs];
  sum_row_tile(t, step, sum);
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) hn::Store(sum[r][v], d, to + r * to_row + v * vector_lanes());
  }
}

using MultiplyFn = void (*)(const RowTile&, int64_t, float*, int64_t);
template <int kVecs, int... kRows>
constexpr std::array<MultiplyFn, sizeof...(kRows)> multiply_functions(
    std::integer_sequence<int, kRows...>) {
  return {multiply<kRows + 1, kVecs>...};
}
using RowCounts = std::make_integer_sequence<int, kRowTileRows>;
/// [vectors - 1][rows - 1]
constexpr std::array<MultiplyFn, kRowTileRows> kMultiply[2] = {multiply_functions<1>(RowCounts()),
                                                               multiply_functions<2>(RowCounts())};

/// All sums of a block of tiles for a panel.
template <class T>
void multiply_block(const IgemmShape& s, const WinogradAxis& form, const Scratch& scratch,
                    const float* inputs, const float* weights, int64_t vectors, int64_t tiles,
                    float* sums) {
  const IgemmAxis& y = s.axis[1];
  const Parts pieces(tiles, kRowTileRows);
  RowTile tile;
  tile.stride = 1;
  tile.lines = 1;
  tile.line_step = 0;
  tile.runs = y.taps;
  tile.run_step = y.step * scratch.row;
  tile.w = weights;
  for (int64_t point = 0; point < T::kPoints; ++point) {
    tile.run = std::min(form.stride, scratch.inputs - point * form.stride) * s.ic;
    tile.a = inputs + point * scratch.point;
    float* to = sums + point * scratch.product;
    for (int64_t i = 0; i < pieces.count; ++i) {
      const auto rows = pieces.size(i);
      kMultiply[vectors - 1][static_cast<size_t>(rows - 1)](tile, scratch.lanes, to, scratch.tile);
      tile.a += rows;
      to += rows * scratch.tile;
    }
    tile.w += tile.runs * tile.run * vectors * vector_lanes();
  }
}

/// A tile's sums to `pixels` outputs of `channels` channels.
template <class T>
HWY_INLINE void transform_output(const float* sums, const float* bias, V lo, V hi, int64_t pixels,
                                 int64_t channels, float* dst, int64_t dst_pixel) {
  const D d;
  const int64_t lanes = vector_lanes();
  for (int64_t c = 0; c < channels; c += lanes) {
    V x[T::kPoints], y[T::kOut];
    HWY_UNROLL(16)
    for (int i = 0; i < T::kPoints; ++i) x[i] = hn::Load(d, sums + i * 2 * lanes + c);
    T::output(d, x, y);
    const V b = hn::Load(d, bias + c);
    const auto left = static_cast<size_t>(channels - c);
    HWY_UNROLL(16)
    for (int i = 0; i < T::kOut; ++i) {
      if (i >= pixels) break;
      const V value = min_keep_nan(hi, max_keep_nan(lo, hn::Add(y[i], b)));
      float* to = dst + i * dst_pixel + c;
      if (channels - c >= lanes) {
        hn::StoreU(value, d, to);
      } else {
        hn::StoreN(value, d, to, left);
      }
    }
  }
}

template <class T>
void run_band(const RowConv& c, const RowBand& band, const float* src, float* dst, float* memory) {
  const IgemmShape s = row_band_shape(c.shape, band);
  const WinogradAxis& form = *c.winograd;
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  const Panels panels{vector_lanes(), s.oc};
  const Scratch scratch(s, form, panels.lanes, band.rows);
  float* columns = memory;
  float* planes = columns + scratch.columns;
  float* inputs = planes + scratch.planes;
  float* sums = inputs + scratch.rows;
  // What transforms read of tiles that there are not.
  std::fill_n(planes, scratch.planes, 0.0f);

  src += band.image * c.source.image;
  for (int64_t r = 0; r < scratch.input_rows; ++r) {
    const int64_t row = band.row * y.stride + y.origin + r;
    float* to = inputs + r * scratch.row;
    if (row < 0 || row >= y.in) {
      std::fill_n(to, scratch.row, 0.0f);
      continue;
    }
    for (int64_t channel = 0; channel < s.ic; ++channel) {
      const float* from = src + channel * c.source.channel + row * c.source.row;
      copy_columns(x, scratch.width, 1, from, c.source.column, columns);
      transform_row<T>(form, scratch, columns, planes, s.ic, to + channel * scratch.lanes);
    }
  }

  const int64_t line = c.shape.axis[2].out;
  const int64_t first_pixel = (band.image * y.out + band.row) * line + band.column;
  const Parts blocks(scratch.tiles, row_winograd::kBlockTiles);
  const D d;
  const V lo = hn::Set(d, c.epilogue.lo), hi = hn::Set(d, c.epilogue.hi);
  for (int64_t panel = 0; panel < panels.count(); ++panel) {
    const int64_t column = panel * panels.width();
    const int64_t width = panels.vectors(panel) * panels.lanes;
    const int64_t channels = std::min(s.oc - column, width);
    const float* weights = c.packed + column * scratch.inputs * y.taps * s.ic;
    for (int64_t r = 0; r < band.rows; ++r) {
      const float* from = inputs + r * y.stride * scratch.row;
      float* to = dst + (first_pixel + r * line) * s.dst_pixel + column;
      int64_t left = x.out;
      for (int64_t i = 0; i < blocks.count; from += blocks.size(i++)) {
        multiply_block<T>(s, form, scratch, from, weights, panels.vectors(panel), blocks.size(i),
                          sums);
        for (int64_t t = 0; t < blocks.size(i); ++t) {
          transform_output<T>(sums + t * scratch.tile, c.epilogue.bias + column, lo, hi, left,
                              channels, to, s.dst_pixel);
          to += T::kOut * s.dst_pixel;
          left -= T::kOut;
        }
      }
    }
  }
  apply_row_band_tail(c, band, dst);
}

template <size_t... kForms>
RowBandFn select_function(int64_t taps, std::index_sequence<kForms...>) {
  RowBandFn function = nullptr;
  const auto select = [&](const WinogradAxis& form, RowBandFn fn) {
    if (form.taps == taps) function = fn;
  };
  (select(
       row_winograd::kForms[kForms],
       run_band<
           WinogradTransform<row_winograd::kForms[kForms].out, row_winograd::kForms[kForms].taps>>),
   ...);
  return function;
}

RowBandFn function_of(int64_t taps) {
  return select_function(taps, std::make_index_sequence<std::size(row_winograd::kForms)>());
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(vector_lanes);
HWY_EXPORT(function_of);

namespace {

Panels panels_of(const IgemmShape& shape) {
  return {HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc};
}

row_winograd::Scratch scratch_of(const IgemmShape& shape, const WinogradAxis& form, int64_t rows) {
  return {shape, form, HWY_DYNAMIC_DISPATCH(vector_lanes)(), rows};
}

/// A row of weights, of which every stride-th from `phase` on is a coefficient, at a point.
double value_at(const WinogradAxis& form, int64_t point, int64_t phase, const float* weights,
                const int64_t* tap_offset) {
  const int64_t points = form.points();
  const int64_t last = phase + (form.taps - 1 - phase) / form.stride * form.stride;
  if (point == points - 1) return weights[tap_offset[last]];
  const double p = winograd_point(points, point);
  double value = 0;
  for (int64_t tap = last; tap >= 0; tap -= form.stride)
    value = value * p + weights[tap_offset[tap]];
  return value;
}

}  // namespace

std::optional<WinogradAxis> row_winograd_form(const IgemmShape& shape, const RowConvSource& source,
                                              bool strict) {
  const IgemmAxis &y = shape.axis[1], &x = shape.axis[2];
  if (source.column != 1 || row_shared_pixels(shape, source) > 1) return {};
  const auto find = [&](const WinogradAxis& form) {
    return form.taps == ceil_div(x.taps, x.stride) && (!strict || form.points() == 4);
  };
  const auto* phase =
      std::find_if(std::begin(row_winograd::kForms), std::end(row_winograd::kForms), find);
  if (phase == std::end(row_winograd::kForms)) return {};
  const WinogradAxis form{phase->out, x.taps, x.stride};
  // For a row of outputs and a panel, in products of one input and the panel's vectors; fitted to
  // the measurements in bench/README.md. A point's sums of a tile are stored, read and transformed;
  // the inputs of a band are transformed once for all panels. A tile must be worth its error.
  constexpr double kPoint = 6, kInput = 0.7, kGain = 1.2;
  constexpr int64_t kFewestTiles = 8;  // a register tile with fewer takes as long
  const auto depth = static_cast<double>(y.taps * shape.ic);
  const auto tiles = static_cast<double>(ceil_div(x.out, form.out));
  const auto products = static_cast<double>(form.products());
  const double rows =
      static_cast<double>(y.stride) + static_cast<double>(y.taps) / row_winograd::kBandRows;
  const double cost = std::max<double>(tiles, kFewestTiles) * products * depth +
                      kPoint * tiles * static_cast<double>(form.points()) +
                      kInput * tiles * products * static_cast<double>(shape.ic) * rows /
                          static_cast<double>(panels_of(shape).count());
  if (kGain * cost > static_cast<double>(x.out * x.taps) * depth) return {};
  return form;
}

size_t row_winograd_packed_size(const IgemmShape& shape, const WinogradAxis& form) {
  return static_cast<size_t>(form.products() * shape.axis[1].taps * shape.ic *
                             panels_of(shape).padded());
}

void row_winograd_pack(const IgemmShape& shape, const WinogradAxis& form,
                       const IgemmWeights& weights, float* packed) {
  const Panels panels = panels_of(shape);
  for (int64_t panel = 0; panel < panels.count(); ++panel) {
    const int64_t width = panels.vectors(panel) * panels.lanes;
    const int64_t first = panel * panels.width(), end = std::min(shape.oc, first + width);
    for (int64_t point = 0; point < form.points(); ++point) {
      const int64_t phases = std::min(form.stride, form.products() - point * form.stride);
      const int64_t depth = shape.axis[1].taps * phases * shape.ic;
      for (int64_t k = 0; k < depth; ++k, packed += width) {
        const int64_t row = k / shape.ic / phases, phase = k / shape.ic % phases;
        const float* from = weights.data + k % shape.ic * weights.ic_stride;
        const int64_t* offset = weights.tap_offset + row * form.taps;
        for (int64_t o = first; o < end; ++o) {
          const double value = value_at(form, point, phase, from + o * weights.oc_stride, offset);
          packed[o - first] = static_cast<float>(value);
        }
      }
    }
  }
}

int64_t row_winograd_band(const IgemmShape& shape, const WinogradAxis& form) {
  // A band's inputs stay in the second level of the cache; rows that neighbouring bands share are
  // transformed again.
  constexpr int64_t kFloats = 128 << 10, kFewest = 4;
  int64_t rows = std::min(row_winograd::kBandRows, shape.axis[1].out);
  while (rows > kFewest && scratch_of(shape, form, rows).floats() > kFloats) --rows;
  return rows;
}

size_t row_winograd_scratch(const IgemmShape& shape, const WinogradAxis& form) {
  const int64_t rows = row_winograd_band(shape, form);
  return static_cast<size_t>(scratch_of(shape, form, rows).floats());
}

RowBandFn row_winograd_function(const WinogradAxis& form) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(function_of)(ceil_div(form.taps, form.stride));
}

}  // namespace plica
#endif  // HWY_ONCE
