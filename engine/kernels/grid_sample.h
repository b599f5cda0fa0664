#pragma once

#include <cmath>
#include <cstdint>
#include <memory>

#include "engine/base/kernel.h"

namespace plica {

/// Where a sampled image goes on beyond its ends.
enum class GridPadding { kZeros, kBorder, kReflection };

/// How coordinates of -1 to 1 are places in an image.
struct GridRule {
  bool nearest = false;  ///< Else bilinear.
  GridPadding padding = GridPadding::kZeros;
  bool align_corners = false;  ///< -1 and 1 are the middles of the corner pixels, not their ends.
};

/// The position on an axis of `size` pixels: 0 is the middle of the first. From -2 to size + 1; a
/// coordinate that is NaN counts as -1. T is float or double.
template <typename T>
T grid_position(const GridRule& rule, T coordinate, int64_t size) {
  const auto n = static_cast<T>(size);
  if (std::isnan(coordinate)) coordinate = -1;
  T at =
      rule.align_corners ? (coordinate + 1) * ((n - 1) / 2) : (coordinate + 1) * (n / 2) - T(0.5);
  if (rule.padding == GridPadding::kReflection) {
    // At the middles of the corner pixels, or at their ends.
    const T low = rule.align_corners ? T(0) : T(-0.5), span = rule.align_corners ? n - 1 : n;
    if (span == 0 || !std::isfinite(at)) return 0;
    const T way = std::fabs(at - low), rest = std::fmod(way, span);
    at = std::fmod(std::floor(way / span), T(2)) == 0 ? rest + low : span - rest + low;
  }
  const bool inside = rule.padding != GridPadding::kZeros;
  const T least = inside ? 0 : -2, most = inside ? n - 1 : n + 1;
  return !(at >= least) ? least : at > most ? most : at;
}

/// Up to four pixels and their weights. `offset` counts pixels of a plane; -1: outside, 0.
template <typename T>
struct GridTaps {
  int64_t offset[4] = {-1, -1, -1, -1};
  T weight[4] = {1, 0, 0, 0};

  GridTaps(const GridRule& rule, T x, T y, int64_t h, int64_t w) {
    x = grid_position(rule, x, w);
    y = grid_position(rule, y, h);
    const auto at = [&](int64_t row, int64_t column) {
      return row >= 0 && row < h && column >= 0 && column < w ? row * w + column : -1;
    };
    if (rule.nearest) {
      // Halves to the even neighbour.
      offset[0] =
          at(static_cast<int64_t>(std::nearbyint(y)), static_cast<int64_t>(std::nearbyint(x)));
      return;
    }
    const T left = std::floor(x), top = std::floor(y);
    const T right = x - left, bottom = y - top;
    const auto column = static_cast<int64_t>(left), row = static_cast<int64_t>(top);
    for (int i = 0; i < 4; ++i) {
      offset[i] = at(row + i / 2, column + i % 2);
      weight[i] = (i / 2 ? bottom : 1 - bottom) * (i % 2 ? right : 1 - right);
    }
  }
};

/// Samples of images [n, in_h, in_w, c] at the places [n, out_h, out_w, 2] (x, y) of a grid.
struct GridSampleProblem {
  GridRule rule;
  int64_t n = 0, c = 0;
  int64_t in_h = 0, in_w = 0, out_h = 0, out_w = 0;
  int64_t src_pixel_stride = 0, dst_pixel_stride = 0;
};

/// args.in: images, grid (dense); args.out[0] overlaps neither. Positions are computed in float;
/// beside what they lose, an element's error is below 4 epsilon times the largest of the elements
/// that take part. Pixels outside are 0, whatever the others are.
std::unique_ptr<Kernel> make_grid_sample(const GridSampleProblem& problem);

}  // namespace plica
