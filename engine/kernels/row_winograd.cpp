#include "engine/kernels/row_winograd.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/row_winograd_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_winograd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/math-inl.h"
#include "engine/kernels/row_tile-inl.h"
#include "engine/kernels/transpose-inl.h"
#include "engine/kernels/winograd_transform-inl.h"

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

HWY_EXPORT(function_of);
HWY_EXPORT(weights_function_of);

namespace {

row_winograd::Scratch scratch_of(const RowConv& conv, int64_t rows) {
  return {conv, conv.shape, row_winograd::panels_of(conv.shape).lanes, rows};
}

}  // namespace

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
