#pragma once

// Where the tiles of a convolution by Winograd's method are in the image, and what they become in
// scratch memory.

#include <algorithm>
#include <cstdint>

#include "engine/base/ceil_div.h"
#include "engine/kernels/winograd.h"

namespace plica::winograd {

/// The depth is summed in slices of this at most, which bounds the rounding error.
inline constexpr int64_t kMaxSlice = 128;

/// How tiles lie along an axis: with dilation D, those of every D-th position lie side by side, and
/// D such combs interleave.
struct Comb {
  int64_t step;   // from one position of a tile to the next
  int64_t combs;  // that there are
  int64_t tiles;  // of the longest comb

  Comb(const IgemmAxis& axis, const WinogradAxis& form)
      : step(axis.taps == 1 ? 1 : axis.step),
        combs(std::clamp<int64_t>(axis.out, 1, step)),
        tiles(ceil_div(ceil_div(axis.out, step), form.out)) {}
};

struct Grid {
  Comb y, x;
  int64_t images;

  Grid(const IgemmShape& s, const WinogradForm& form)
      : y(s.axis[1], form.y), x(s.axis[2], form.x), images(s.n * s.axis[0].out) {}
  int64_t tiles() const { return images * y.combs * x.combs * y.tiles * x.tiles; }
};

struct TileAt {
  int64_t image, y_comb, x_comb, row, column;

  TileAt(const Grid& grid, int64_t tile) {
    const auto next = [&](int64_t count) {
      const int64_t digit = tile % count;
      tile /= count;
      return digit;
    };
    column = next(grid.x.tiles);
    row = next(grid.y.tiles);
    x_comb = next(grid.x.combs);
    y_comb = next(grid.y.combs);
    image = tile;
  }
  void advance(const Grid& grid) {
    const auto carries = [](int64_t& digit, int64_t count) {
      if (++digit < count) return false;
      digit = 0;
      return true;
    };
    if (carries(column, grid.x.tiles) && carries(row, grid.y.tiles) &&
        carries(x_comb, grid.x.combs) && carries(y_comb, grid.y.combs)) {
      ++image;
    }
  }
};

/// Scratch memory: inputs [products][tiles][row], sums of products [tiles][points][panel width], a
/// row of zeros, and weights [matrices of a row][depth of a slice][panel width] that are
/// transformed late.
struct Scratch {
  int64_t row, plane;     // floats of transformed inputs
  int64_t product, tile;  // floats of products: of a point, of a tile
  int64_t matrix;         // floats of late weights
  int64_t inputs, products, zeros, weights;

  Scratch(const IgemmShape& s, const WinogradForm& form, int64_t lanes, int64_t tiles) {
    // A cache line more than a multiple of the vector length keeps the rows of a register tile from
    // fighting for the same sets of the cache.
    row = round_up(winograd_depth(s), 16) + 16;
    plane = tiles * row;
    product = 2 * lanes;
    tile = form.points() * product;
    // The same for what is stored in turn.
    matrix = std::min(kMaxSlice, winograd_depth(s)) * 2 * lanes + 32;
    inputs = form.products() * plane;
    products = tiles * tile;
    zeros = round_up(s.ic, 16);
    weights = form.weights == WinogradWeights::kLate ? form.x.matrices() * matrix : 0;
  }
  int64_t floats() const { return inputs + products + zeros + weights; }
};

}  // namespace plica::winograd
