#include "engine/kernels/row_direct.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_direct.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/row_tile-inl.h"

#ifndef PLICA_ROW_DIRECT_ONCE
#define PLICA_ROW_DIRECT_ONCE
namespace plica::row_direct {

/// How the copied rows lie in scratch memory: `lines` times [rows][padded width * pixel].
struct Scratch {
  int64_t lines;  // 1, or one for each channel
  int64_t pixel;  // floats from one column to the next
  int64_t width;  // columns
  int64_t row;    // floats from one row to the next
  int64_t rows;   // of the band
  int64_t run;    // floats that one row of the kernel spans
  int64_t line() const { return rows * row; }

  Scratch(const IgemmShape& s, bool planar, int64_t band) {
    const IgemmAxis &y = s.axis[1], &x = s.axis[2];
    lines = planar ? s.ic : 1;
    pixel = planar ? 1 : s.ic;
    width = (x.out - 1) * x.stride + x.taps;
    row = width * pixel;
    rows = rows_spanned(y, band);
    run = x.taps * pixel;
  }
};

/// A register tile's place.
struct Tile : RowTile {
  float* dst;
  int64_t dst_pixel;
  const float* bias;
  float lo, hi;
  int64_t columns;  // valid ones
};

}  // namespace plica::row_direct
#endif  // PLICA_ROW_DIRECT_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using row_direct::Scratch;
using row_direct::Tile;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

template <int kRows, int kVecs, int kStride>
HWY_NOINLINE void run_tile(const Tile& t) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kVecs];
  sum_row_tile<kRows, kVecs, kStride>(t, std::integral_constant<int64_t, 1>(), sum);
  const V lo = hn::Set(d, t.lo), hi = hn::Set(d, t.hi);
  HWY_UNROLL(32)
  for (int v = 0; v < kVecs; ++v) {
    const V bias = hn::Load(d, t.bias + v * lanes);
    const int64_t left = t.columns - v * lanes;
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      // x86's minimum and maximum are their second operand if one is NaN.
      const V y = hn::Min(hi, hn::Max(lo, hn::Add(sum[r][v], bias)));
      float* dst = t.dst + r * t.dst_pixel + v * lanes;
      if (left >= lanes) {
        hn::StoreU(y, d, dst);
      } else {
        hn::StoreN(y, d, dst, static_cast<size_t>(left));
      }
    }
  }
}

using TileFn = void (*)(const Tile&);
template <int kVecs, int kStride, int... kRows>
constexpr std::array<TileFn, sizeof...(kRows)> tile_functions(
    std::integer_sequence<int, kRows...>) {
  return {run_tile<kRows + 1, kVecs, kStride>...};
}
using RowCounts = std::make_integer_sequence<int, kRowTileRows>;
/// [stride, 0 for any][vectors - 1][rows - 1]
constexpr std::array<TileFn, kRowTileRows> kTiles[3][2] = {
    {tile_functions<1, 0>(RowCounts()), tile_functions<2, 0>(RowCounts())},
    {tile_functions<1, 1>(RowCounts()), tile_functions<2, 1>(RowCounts())},
    {tile_functions<1, 2>(RowCounts()), tile_functions<2, 2>(RowCounts())}};

/// What an image of the output reads of input row `row`, which may be outside, to every line's row
/// of `dst`.
void copy_row(const IgemmShape& s, const RowConvSource& source, const Scratch& scratch,
              const float* src, int64_t image, int64_t row, float* dst) {
  const bool inside = row >= 0 && row < s.axis[1].in;
  for (int64_t line = 0; line < scratch.lines; ++line, dst += scratch.line()) {
    const float* plane = inside ? source.plane_of(src, image, line) : nullptr;
    if (plane) {
      const float* from = plane + row * source.row;
      copy_columns(s.axis[2], scratch.width, scratch.pixel, from, source.column, dst);
    } else {
      std::fill_n(dst, scratch.row, 0.0f);
    }
  }
}

/// Whether no output reads padding and neighbouring columns lie next to each other: tiles may then
/// read the source itself.
bool is_direct(const IgemmShape& s, const RowConvSource& source, const Scratch& scratch) {
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  return source.depth == IgemmAxis() && !reads_padding(y) && !reads_padding(x) &&
         (x.in == 1 || source.column == scratch.pixel);
}

void run_band(const RowConv& c, const RowBand& band, const float* src, float* dst, float* memory) {
  const IgemmShape s = row_band_shape(c.shape, band);
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  const bool planar = c.source.column == 1 && s.ic > 1;
  const Scratch scratch(s, planar, band.rows);
  const float* from = memory;
  int64_t row_step = scratch.row, line_step = scratch.line();
  if (is_direct(s, c.source, scratch)) {
    from = c.source.plane_of(src, band.image, 0) + (band.row * y.stride + y.origin) * c.source.row +
           x.origin * c.source.column;
    row_step = c.source.row;
    line_step = c.source.channel;
  } else {
    for (int64_t r = 0; r < scratch.rows; ++r) {
      copy_row(s, c.source, scratch, src, band.image, band.row * y.stride + y.origin + r,
               memory + r * scratch.row);
    }
  }
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  Tile tile;
  tile.stride = x.stride * scratch.pixel;
  std::array<int64_t, kRowConvMostDepth> offsets;
  tile.offsets = offsets.data();
  tile.runs = 0;
  for (int64_t line = 0; line < scratch.lines; ++line) {
    for (int64_t i = 0; i < y.taps; ++i) {
      offsets[static_cast<size_t>(tile.runs++)] = line * line_step + i * y.step * row_step;
    }
  }
  tile.run = scratch.run;
  tile.dst_pixel = s.dst_pixel;
  tile.lo = c.epilogue.lo;
  tile.hi = c.epilogue.hi;
  const int64_t line = c.shape.axis[2].out;
  const int64_t first_pixel = (band.image * y.out + band.row) * line + band.column;
  // Out of the loop, since small images are all divisions otherwise.
  const Parts pieces(x.out, kRowTileRows);
  for (int64_t column = 0; column < s.oc; column += 2 * lanes) {
    const auto& functions = kTiles[tile.stride <= 2 ? tile.stride : 0][s.oc - column > lanes];
    tile.w = c.packed + column * s.depth();
    tile.bias = c.epilogue.bias + column;
    tile.columns = std::min(s.oc - column, 2 * lanes);
    for (int64_t r = 0; r < band.rows; ++r) {
      for (int64_t i = 0, pixel = 0; i < pieces.count; pixel += pieces.size(i++)) {
        tile.a = from + r * y.stride * row_step + pixel * x.stride * scratch.pixel;
        tile.dst = dst + (first_pixel + r * line + pixel) * s.dst_pixel + column;
        functions[static_cast<size_t>(pieces.size(i) - 1)](tile);
      }
    }
  }
  apply_row_band_tail(c, band, dst);
}

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(run_band);
HWY_EXPORT(vector_lanes);

void row_direct_pack(const IgemmShape& shape, const RowConvSource& source,
                     const IgemmWeights& weights, float* packed) {
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(vector_lanes)();
  const bool planar = source.column == 1;
  const int64_t taps = shape.taps();
  for (int64_t column = 0; column < shape.oc; column += 2 * lanes) {
    const int64_t width = std::min(2 * lanes, round_up(shape.oc, lanes) - column);
    for (int64_t k = 0; k < shape.depth(); ++k, packed += width) {
      const int64_t tap = planar ? k % taps : k / shape.ic;
      const int64_t channel = planar ? k / taps : k % shape.ic;
      const float* from = weights.data + weights.tap_offset[tap] + channel * weights.ic_stride;
      for (int64_t i = 0; i < std::min(width, shape.oc - column); ++i) {
        packed[i] = from[(column + i) * weights.oc_stride];
      }
    }
  }
}

int64_t row_direct_band(const IgemmShape& shape) {
  // Few enough for their input to stay in the cache, enough for the rows that neighbouring bands
  // share not to count.
  return std::min<int64_t>(8, shape.axis[1].out);
}

size_t row_direct_scratch(const IgemmShape& shape) {
  // Planes and pixels take the same.
  return static_cast<size_t>(row_direct::Scratch(shape, false, row_direct_band(shape)).line());
}

RowBandFn row_direct_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(run_band);
}

}  // namespace plica
#endif  // HWY_ONCE
