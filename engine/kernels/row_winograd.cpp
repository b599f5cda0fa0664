#include "engine/kernels/row_winograd.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/panels.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/processor.h"
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

/// F(out, taps); of the same taps, one is enough.
struct Form {
  int64_t out, taps;
};
inline constexpr Form kForms[] = {{3, 2}, {4, 3}, {5, 4}, {4, 5}, {5, 6}, {4, 7}};

/// Output rows of a band, at most.
inline constexpr int64_t kBandRows = 16;
/// Tiles of a row whose sums are in scratch memory at a time: they stay in the first level of the
/// cache.
inline constexpr int64_t kBlockTiles = 28;
/// Rows of fewer tiles are no multiple of whole vectors.
inline constexpr int64_t kFewTiles = 14;
/// Products of a sum in registers, at most: longer ones round worse, and their weights leave the
/// first level of the cache.
inline constexpr int64_t kLongestSum = 128;
inline constexpr int64_t kMostSequences = 16;
/// Rows of a kernel, at most.
inline constexpr int64_t kMostRows = 64;

/// What lies where in scratch memory. Transformed inputs are [point][sequence][channel][row of
/// tiles], or [point][row of tiles][sequence][channel] where pixels are read: a vector is tiles, or
/// channels. Rows that are a stride apart follow each other, so that tiles of all output rows are
/// one run where rows have few of them.
struct Scratch {
  bool pixels;                          // the source has channels next to each other
  int64_t tiles;                        // of a row
  int64_t pitch;                        // from one row's to the next one's
  int64_t width;                        // columns of input, with padding
  int64_t inputs;                       // that a tile reads
  int64_t step;                         // columns from one tile's to the next one's
  int64_t tile, channel;                // floats from one to the next
  int64_t plane;                        // floats of the rows that lie a stride apart
  int64_t point;                        // floats of transformed inputs, for one point
  int64_t product, sum;                 // floats of sums: of a point, of a tile
  int64_t input_rows;                   // of the band
  int64_t columns, planes, rows, sums;  // floats of all

  /// For `band` rows of `s`, which are some columns of the convolution's.
  Scratch(const RowConv& c, const IgemmShape& s, int64_t vector, int64_t band) {
    const IgemmAxis& y = s.axis[1];
    const RowWinogradForm& form = *c.winograd;
    pixels = c.source.column != 1;
    tiles = ceil_div(s.axis[2].out, form.out);
    const int64_t lanes = round_up(tiles, vector);
    pitch = pixels || tiles < kFewTiles ? tiles : lanes;
    inputs = form.inputs();
    step = form.out * form.stride;
    width = (tiles - 1) * step + inputs;
    input_rows = rows_spanned(y, band);
    const int64_t factors = form.sequences() * s.ic;
    tile = pixels ? factors : 1;
    // A last vector may reach out of a plane.
    plane = round_up(ceil_div(input_rows, y.stride) * pitch * tile + vector, 16);
    channel = pixels ? 1 : y.stride * plane;
    point = y.stride * plane * (pixels ? 1 : factors);
    product = 2 * vector;
    sum = form.points() * product;
    columns = round_up(width * (pixels ? s.ic : 1) + vector, 16);
    planes = pixels ? 0 : round_up(inputs * lanes, 16);
    rows = form.points() * point;
    sums = std::min(pitch == tiles ? band * tiles : tiles, kBlockTiles) * sum;
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

/// The factors of products of a vector of tiles or channels, for all points of a sequence: from
/// inputs `step` floats apart to factors scratch.point apart. The last point may not have it.
template <class T>
HWY_INLINE void transform_inputs(const Scratch& scratch, const float* from, int64_t step,
                                 bool whole, float* to) {
  const D d;
  constexpr int kLast = T::kPoints - 1;
  V x[T::kPoints], y[T::kPoints];
  HWY_UNROLL(16)
  for (int i = 0; i < kLast; ++i) x[i] = hn::LoadU(d, from + i * step);
  x[kLast] = whole ? hn::LoadU(d, from + kLast * step) : hn::Zero(d);
  transform_axis<T>(d, x, y);
  HWY_UNROLL(16)
  for (int i = 0; i < kLast; ++i) hn::StoreU(y[i], d, to + i * scratch.point);
  if (whole) hn::StoreU(y[kLast], d, to + kLast * scratch.point);
}

/// A row of one channel.
template <class T>
HWY_NOINLINE void transform_plane(const RowWinogradForm& form, const Scratch& scratch,
                                  const float* columns, float* planes, int64_t channels,
                                  float* to) {
  const int64_t lanes = round_up(scratch.tiles, vector_lanes());
  transpose(columns, scratch.step, scratch.tiles, scratch.inputs, lanes, planes);
  const int64_t sequences = form.sequences(), whole = form.sequences_at(T::kPoints - 1);
  for (int64_t i = 0; i < sequences; ++i, to += channels * scratch.channel) {
    const float* from = planes + form.first_tap(i) * lanes;
    for (int64_t tile = 0; tile < lanes; tile += vector_lanes()) {
      transform_inputs<T>(scratch, from + tile, form.stride * lanes, i < whole, to + tile);
    }
  }
}

/// A row of all channels. Vectors reach into what is stored after them.
template <class T>
HWY_NOINLINE void transform_pixels(const RowWinogradForm& form, const Scratch& scratch,
                                   const float* columns, int64_t channels, float* to) {
  const int64_t sequences = form.sequences(), whole = form.sequences_at(T::kPoints - 1);
  std::array<int64_t, row_winograd::kMostSequences> first;
  for (int64_t i = 0; i < sequences; ++i) {
    first[static_cast<size_t>(i)] = form.first_tap(i) * channels;
  }
  for (int64_t tile = 0; tile < scratch.tiles; ++tile, columns += scratch.step * channels) {
    for (int64_t i = 0; i < sequences; ++i, to += channels) {
      const float* from = columns + first[static_cast<size_t>(i)];
      for (int64_t c = 0; c < channels; c += vector_lanes()) {
        transform_inputs<T>(scratch, from + c, form.stride * channels, i < whole, to + c);
      }
    }
  }
}

/// Sums of products of some tiles at a point, to what is there or instead of it.
template <int kRows, int kVecs>
HWY_NOINLINE void multiply(const RowTile& t, int64_t step, bool add, float* to, int64_t to_row) {
  const D d;
  V sum[kRows][kVecs];
  sum_row_tile(t, step, sum);
  if (add) {
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) {
        sum[r][v] = hn::Add(sum[r][v], hn::Load(d, to + r * to_row + v * vector_lanes()));
      }
    }
  }
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) hn::Store(sum[r][v], d, to + r * to_row + v * vector_lanes());
  }
}

using MultiplyFn = void (*)(const RowTile&, int64_t, bool, float*, int64_t);
template <int kVecs, int... kRows>
constexpr std::array<MultiplyFn, sizeof...(kRows)> multiply_functions(
    std::integer_sequence<int, kRows...>) {
  return {multiply<kRows + 1, kVecs>...};
}
using RowCounts = std::make_integer_sequence<int, kRowTileRows>;
/// [vectors - 1][rows - 1]
constexpr std::array<MultiplyFn, kRowTileRows> kMultiply[2] = {multiply_functions<1>(RowCounts()),
                                                               multiply_functions<2>(RowCounts())};

/// All sums of a block of tiles for a panel. `offsets`: of the kernel's rows.
template <class T>
void multiply_block(const IgemmShape& s, const RowWinogradForm& form, const Scratch& scratch,
                    const float* inputs, const int64_t* offsets, const float* weights,
                    int64_t vectors, int64_t tiles, float* sums) {
  const Parts pieces(tiles, kRowTileRows);
  const int64_t taps = s.axis[1].taps;
  RowTile tile;
  tile.stride = scratch.tile;
  tile.w = weights;
  for (int64_t point = 0; point < T::kPoints; ++point) {
    const int64_t run = form.sequences_at(point) * s.ic;
    // Rows of the kernel, or a part of one, that are summed at a time.
    const Parts parts(run, row_winograd::kLongestSum);
    const int64_t rows = std::clamp<int64_t>(row_winograd::kLongestSum / run, 1, taps);
    for (int64_t row = 0; row < taps; row += rows) {
      const float* from = inputs + point * scratch.point;
      tile.offsets = offsets + row;
      tile.runs = std::min(rows, taps - row);
      for (int64_t part = 0; part < parts.count; ++part) {
        tile.run = parts.size(part);
        tile.a = from;
        float* to = sums + point * scratch.product;
        for (int64_t i = 0; i < pieces.count; ++i) {
          const auto& functions = kMultiply[vectors - 1];
          functions[static_cast<size_t>(pieces.size(i) - 1)](tile, scratch.channel, row + part > 0,
                                                             to, scratch.sum);
          tile.a += pieces.size(i) * scratch.tile;
          to += pieces.size(i) * scratch.sum;
        }
        from += tile.run * scratch.channel;
        tile.w += tile.runs * tile.run * vectors * vector_lanes();
      }
    }
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

/// The band's input, transformed, to `inputs`; `memory` is for a row.
template <class T>
void transform_band(const RowConv& c, const IgemmShape& s, const RowBand& band,
                    const Scratch& scratch, const float* src, float* memory, float* inputs) {
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  float* columns = memory;
  float* planes = columns + scratch.columns;
  const int64_t together = scratch.pixels ? s.ic : 1;  // channels
  // What transforms read of tiles that there are not.
  std::fill_n(planes, scratch.planes, 0.0f);
  std::fill_n(columns, scratch.columns, 0.0f);
  for (int64_t r = 0, phase = 0, line = 0; r < scratch.input_rows; ++r) {
    const int64_t row = band.row * y.stride + y.origin + r;
    float* to = inputs + phase * scratch.plane + line * scratch.pitch * scratch.tile;
    if (++phase == y.stride) phase = 0, ++line;
    const bool inside = row >= 0 && row < y.in;
    for (int64_t channel = 0; channel < s.ic; channel += together, to += scratch.channel) {
      const float* plane = inside ? c.source.plane_of(src, band.image, channel) : nullptr;
      if (plane) {
        const float* from = plane + row * c.source.row;
        copy_columns(x, scratch.width, together, from, c.source.column, columns);
      } else {
        std::fill_n(columns, scratch.width * together, 0.0f);
      }
      if (scratch.pixels) {
        transform_pixels<T>(*c.winograd, scratch, columns, s.ic, to);
      } else {
        transform_plane<T>(*c.winograd, scratch, columns, planes, s.ic, to);
      }
    }
  }
}

template <class T>
void run_band(const RowConv& c, const RowBand& band, const float* src, float* dst, float* memory) {
  const IgemmShape s = row_band_shape(c.shape, band);
  const RowWinogradForm& form = *c.winograd;
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  const Panels panels{vector_lanes(), s.oc};
  const Scratch scratch(c, s, panels.lanes, band.rows);
  float* inputs = memory + scratch.columns + scratch.planes;
  float* sums = inputs + scratch.rows;
  transform_band<T>(c, s, band, scratch, src, memory, inputs);

  std::array<int64_t, row_winograd::kMostRows> offsets;
  for (int64_t i = 0; i < y.taps; ++i) {
    const int64_t row = i * y.step, line = row / y.stride;
    offsets[static_cast<size_t>(i)] =
        (row - line * y.stride) * scratch.plane + line * scratch.pitch * scratch.tile;
  }
  const int64_t line = c.shape.axis[2].out;
  const int64_t first_pixel = (band.image * y.out + band.row) * line + band.column;
  // Output rows whose tiles are one run.
  const int64_t together = scratch.pitch == scratch.tiles ? band.rows : 1;
  const Parts blocks(together * scratch.tiles, row_winograd::kBlockTiles);
  const D d;
  const V lo = hn::Set(d, c.epilogue.lo), hi = hn::Set(d, c.epilogue.hi);
  const int64_t end = band.channel + band.channels;
  for (int64_t column = band.channel; column < end; column += panels.width()) {
    const int64_t panel = column / panels.width();
    const int64_t width = panels.vectors(panel) * panels.lanes;
    const int64_t channels = std::min(s.oc - column, width);
    const float* weights = c.packed + column * form.products() * y.taps * s.ic;
    float* row = dst + first_pixel * s.dst_pixel + column;
    for (int64_t r = 0; r < band.rows; r += together) {
      const float* from = inputs + r * scratch.pitch * scratch.tile;
      float* to = row;
      int64_t left = x.out;
      for (int64_t i = 0; i < blocks.count; from += blocks.size(i++) * scratch.tile) {
        multiply_block<T>(s, form, scratch, from, offsets.data(), weights, panels.vectors(panel),
                          blocks.size(i), sums);
        for (int64_t t = 0; t < blocks.size(i); ++t) {
          transform_output<T>(sums + t * scratch.sum, c.epilogue.bias + column, lo, hi, left,
                              channels, to, s.dst_pixel);
          to += T::kOut * s.dst_pixel;
          left -= T::kOut;
          if (left > 0) continue;
          row += line * s.dst_pixel;
          to = row;
          left = x.out;
        }
      }
    }
  }
  apply_row_band_tail(c, band, dst);
}

template <class T, int... kPoints>
HWY_INLINE void values_at(const V* taps, V* values, std::integer_sequence<int, kPoints...>) {
  ((values[kPoints] = T::template weight<kPoints>(D(), taps)), ...);
}

template <class T>
void transform_weights(const RowConv& c, int64_t panel, int64_t row, float* transformed) {
  const D d;
  const IgemmShape& s = c.shape;
  const RowWinogradForm& form = *c.winograd;
  const Panels panels{vector_lanes(), s.oc};
  const int64_t rows = s.axis[1].taps, first = panel * panels.width();
  const int64_t tap = s.ic * panels.vectors(panel) * panels.lanes;  // floats
  const int64_t sequences = form.sequences(), whole = form.sequences_at(T::kPoints - 1);
  const float* from = c.packed + first * s.depth() + row * form.taps * tap;
  float* const to = transformed + first * form.products() * rows * s.ic;
  for (int64_t i = 0; i < sequences; ++i) {
    const float* w = from + form.first_tap(i) * tap;
    for (int64_t k = 0; k < tap; k += panels.lanes) {
      V x[T::kTaps], y[T::kPoints];
      HWY_UNROLL(16)
      for (int t = 0; t < T::kTaps; ++t) {
        const bool inside = t + 1 < T::kTaps || i < whole;
        x[t] = inside ? hn::Load(d, w + t * form.stride * tap + k) : hn::Zero(d);
      }
      values_at<T>(x, y, std::make_integer_sequence<int, T::kPoints>());
      HWY_UNROLL(16)
      for (int p = 0; p + 1 < T::kPoints; ++p) {
        hn::Store(y[p], d, to + ((p * rows + row) * sequences + i) * tap + k);
      }
      if (i >= whole) continue;
      const int64_t last = (T::kPoints - 1) * rows * sequences + row * whole;
      hn::Store(y[T::kPoints - 1], d, to + (last + i) * tap + k);
    }
  }
}

struct Functions {
  RowBandFn run = nullptr;
  RowWeightsFn transform_weights = nullptr;
};

template <size_t... kForms>
Functions select_functions(int64_t taps, std::index_sequence<kForms...>) {
  Functions functions;
  const auto select = [&]<class T>(T) {
    if (T::kTaps == taps) functions = {run_band<T>, transform_weights<T>};
  };
  (select(WinogradTransform<row_winograd::kForms[kForms].out, row_winograd::kForms[kForms].taps>()),
   ...);
  return functions;
}

Functions functions_of(int64_t taps) {
  return select_functions(taps, std::make_index_sequence<std::size(row_winograd::kForms)>());
}

RowBandFn function_of(int64_t taps) { return functions_of(taps).run; }
RowWeightsFn weights_function_of(int64_t taps) { return functions_of(taps).transform_weights; }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(vector_lanes);
HWY_EXPORT(function_of);
HWY_EXPORT(weights_function_of);

namespace {

Panels panels_of(const IgemmShape& shape) {
  return {HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc};
}

row_winograd::Scratch scratch_of(const RowConv& conv, int64_t rows) {
  return {conv, conv.shape, HWY_DYNAMIC_DISPATCH(vector_lanes)(), rows};
}

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
  const Panels panels = panels_of(shape);
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
         (form.per_run ? float_cost.made_weight : float_cost.weight) * weights;
}

size_t row_winograd_transformed_size(const IgemmShape& shape, const RowWinogradForm& form) {
  return static_cast<size_t>(form.products() * shape.axis[1].taps * shape.ic *
                             panels_of(shape).padded());
}

size_t row_winograd_packed_size(const IgemmShape& shape, const RowWinogradForm& form) {
  if (!form.per_run) return row_winograd_transformed_size(shape, form);
  return static_cast<size_t>(shape.depth() * panels_of(shape).padded());
}

void row_winograd_pack(const IgemmShape& shape, const RowWinogradForm& form,
                       const IgemmWeights& weights, const IgemmColumns& columns, float* packed) {
  const Panels panels = panels_of(shape);
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

int64_t row_winograd_band(const RowConv& conv) {
  // A band's inputs stay in the second level of the cache; rows that neighbouring bands share are
  // transformed again.
  constexpr int64_t kFloats = 128 << 10, kFewest = 4;
  int64_t rows = std::min(row_winograd::kBandRows, conv.shape.axis[1].out);
  while (rows > kFewest && scratch_of(conv, rows).floats() > kFloats) --rows;
  return rows;
}

size_t row_winograd_scratch(const RowConv& conv) {
  return static_cast<size_t>(scratch_of(conv, row_winograd_band(conv)).floats());
}

RowWeightsFn row_winograd_weights_function(const RowWinogradForm& form) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(weights_function_of)(form.longest());
}

RowBandFn row_winograd_function(const RowWinogradForm& form) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(function_of)(form.longest());
}

}  // namespace plica
#endif  // HWY_ONCE
