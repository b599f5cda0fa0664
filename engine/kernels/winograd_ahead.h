#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/kernels/winograd_layout.h"

namespace plica::winograd {

/// What blocks of tiles need from memory besides weights, to be fetched in order while products are
/// computed: transforms by themselves would wait for it. For speed alone; of shapes whose pixels
/// do not lie side by side it is nothing.
class Ahead {
 public:
  Ahead(const IgemmShape& shape, const WinogradForm& form, const Grid& grid)
      : shape_(shape), form_(form), grid_(grid) {}

  /// The inputs of tiles [first, last).
  void add_inputs(const float* src, int64_t first, int64_t last) {
    const IgemmAxis &z = shape_.axis[0], &y = shape_.axis[1], &x = shape_.axis[2];
    if (z.taps > 1 || !is_dense(shape_.src_pixel, shape_.ic)) return;
    for_runs(first, last, [&](const TileAt& at, int64_t tiles) {
      const int64_t iz = at.image % z.out * z.stride + z.origin;
      if (iz < 0 || iz >= z.in) return;
      const int64_t y0 = at.row * form_.y.out * y.stride + y.origin;
      const int64_t x0 = at.column * form_.x.out * x.stride + x.origin;
      const int64_t width = (tiles - 1) * form_.x.out * x.stride + form_.x.products();
      const Plane plane{src, at.image / z.out * z.in + iz, y.in, x.in, shape_.src_pixel};
      add_rows(plane, y0, y0 + form_.y.products(), x0, x0 + width);
    });
  }

  /// Where the outputs of the tiles go, or their residuals come from.
  void add_outputs(const float* dst, int64_t pixel, int64_t first, int64_t last) {
    const IgemmAxis &z = shape_.axis[0], &y = shape_.axis[1], &x = shape_.axis[2];
    if (y.dst_step != 1 || x.dst_step != 1 || !is_dense(pixel, shape_.oc)) return;
    for_runs(first, last, [&](const TileAt& at, int64_t tiles) {
      const int64_t oz = at.image % z.out * z.dst_step + z.dst_origin;
      const int64_t y0 = at.row * form_.y.out + y.dst_origin;
      const int64_t x0 = at.column * form_.x.out + x.dst_origin;
      const Plane plane{dst, at.image / z.out * z.dst_size + oz, y.dst_size, x.dst_size, pixel};
      add_rows(plane, y0, y0 + form_.y.out, x0, x0 + tiles * form_.x.out);
    });
  }

  /// Of all that has been added, a few lines of the cache are to be fetched in each of `turns`
  /// turns, so that all of it is there after half of them if possible.
  void spread(int64_t turns) {
    constexpr int64_t kLine = 16, kMostLines = 4;
    int64_t floats = 0;
    for (size_t i = 0; i < count_; ++i) floats += pieces_[i].floats;
    const int64_t lines = ceil_div(2 * floats, kLine * std::max<int64_t>(turns, 1));
    step_ = kLine * std::clamp<int64_t>(lines, 1, kMostLines);
  }
  /// Floats to go on by in each turn.
  int64_t step() const { return step_; }

  /// Null at the end, or what comes next, for so many turns.
  const float* take(int64_t turns) {
    if (piece_ == count_) return nullptr;
    const float* from = pieces_[piece_].from + taken_;
    taken_ += turns * step_;
    if (taken_ >= pieces_[piece_].floats) ++piece_, taken_ = 0;
    return from;
  }

 private:
  /// Pixels side by side.
  struct Piece {
    const float* from;
    int64_t floats;
  };
  struct Plane {
    const float* data;
    int64_t index, height, width, pixel;
  };

  bool is_dense(int64_t pixel, int64_t channels) const {
    return grid_.y.step == 1 && grid_.x.step == 1 && pixel < 2 * channels;
  }

  /// Calls body(first of them, how many) for tiles of the same row.
  template <class Body>
  void for_runs(int64_t first, int64_t last, const Body& body) {
    last = std::min(last, grid_.tiles());
    while (first < last) {
      const TileAt at(grid_, first);
      const int64_t run = std::min(last - first, grid_.x.tiles - at.column);
      body(at, run);
      first += run;
    }
  }

  void add_rows(const Plane& plane, int64_t y0, int64_t y1, int64_t x0, int64_t x1) {
    y0 = std::max<int64_t>(y0, 0), y1 = std::min(y1, plane.height);
    x0 = std::max<int64_t>(x0, 0), x1 = std::min(x1, plane.width);
    for (int64_t y = y0; y < y1 && x0 < x1 && count_ < pieces_.size(); ++y) {
      const int64_t pixel = (plane.index * plane.height + y) * plane.width + x0;
      pieces_[count_++] = {plane.data + pixel * plane.pixel, (x1 - x0) * plane.pixel};
    }
  }

  const IgemmShape& shape_;
  const WinogradForm& form_;
  const Grid& grid_;
  // As many as blocks of a few rows of tiles have.
  std::array<Piece, 96> pieces_;
  size_t count_ = 0, piece_ = 0;
  int64_t taken_ = 0, step_ = 0;
};

}  // namespace plica::winograd
