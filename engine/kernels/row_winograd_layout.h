#pragma once

// How convolutions by Winograd's algorithm along rows are cut, and what lies where in scratch
// memory.

#include <algorithm>
#include <cstdint>

#include "engine/base/ceil_div.h"
#include "engine/kernels/panels.h"
#include "engine/kernels/row_conv.h"

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

inline Panels panels_of(const IgemmShape& shape) { return {igemm_tile().panel / 2, shape.oc}; }

}  // namespace plica::row_winograd
