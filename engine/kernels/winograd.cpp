#include "engine/kernels/winograd.h"

#include <algorithm>
#include <cstring>

#include "engine/kernels/dispatch.h"
#include "engine/kernels/panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/winograd.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef PLICA_WINOGRAD_ONCE
#define PLICA_WINOGRAD_ONCE
namespace plica {

/// Of F(4, 3), besides 0, their negatives and infinity. The usual 1 and 2 or 1 and 1/2 double the
/// rounding error of these. Exact in binary, and so are their squares, cubes and products.
struct WinogradPoints {
  static constexpr float a = 0.625f, b = 1.5f;
};

namespace winograd {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// The depth is summed in slices of this at most, which bounds the rounding error.
inline constexpr int64_t kMaxSlice = 128;

/// How tiles lie on the images.
struct Grid {
  int64_t rows, columns, images;

  Grid(const IgemmShape& s, int m)
      : rows(divide_up(s.axis[1].out, m)),
        columns(divide_up(s.axis[2].out, m)),
        images(s.n * s.axis[0].out) {}
  int64_t tiles() const { return rows * columns * images; }
};

struct TileAt {
  int64_t image, row, column;

  TileAt(const Grid& grid, int64_t tile)
      : image(tile / (grid.rows * grid.columns)),
        row(tile / grid.columns % grid.rows),
        column(tile % grid.columns) {}
  void advance(const Grid& grid) {
    if (++column < grid.columns) return;
    column = 0;
    if (++row < grid.rows) return;
    row = 0;
    ++image;
  }
};

/// Scratch memory: inputs [points][tiles][row], products [tiles][points][panel width], and a row of
/// zeros.
struct Scratch {
  int64_t row, plane;     // floats of transformed inputs
  int64_t product, tile;  // floats of products: of a point, of a tile
  int64_t inputs, products;

  Scratch(const IgemmShape& s, int m, int64_t lanes, int64_t tiles) {
    const int64_t points = (m + 2) * (m + 2);
    // A cache line more than a multiple of the vector length keeps the rows of a register tile from
    // fighting for the same sets of the cache.
    row = divide_up(s.ic, 16) * 16 + 16;
    plane = tiles * row;
    product = 2 * lanes;
    tile = points * product;
    inputs = points * plane;
    products = tiles * tile;
  }
  int64_t floats() const { return inputs + products + row; }
};

}  // namespace winograd
}  // namespace plica
#endif  // PLICA_WINOGRAD_ONCE

// After foreach_target.
#include "engine/kernels/gemm_tile-inl.h"
#include "engine/kernels/math-inl.h"
#include "engine/kernels/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using winograd::Grid;
using winograd::Scratch;
using winograd::TileAt;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

/// Where the pixels of a tile's inputs are; those in the padding are at `zeros`.
template <int kIn>
struct Pixels {
  const float* at[kIn][kIn];

  Pixels(const IgemmShape& s, const float* src, const float* zeros, const TileAt& tile) {
    constexpr int kOut = kIn - 2;
    const IgemmAxis &y = s.axis[1], &x = s.axis[2];
    const int64_t y0 = tile.row * kOut + y.origin, x0 = tile.column * kOut + x.origin;
    const float* image = src + tile.image * y.in * x.in * s.src_pixel;
    for (int i = 0; i < kIn; ++i) {
      const bool inside = y0 + i >= 0 && y0 + i < y.in;
      for (int j = 0; j < kIn; ++j) {
        at[i][j] = inside && x0 + j >= 0 && x0 + j < x.in
                       ? image + ((y0 + i) * x.in + x0 + j) * s.src_pixel
                       : zeros;
      }
    }
  }
};

/// Transforms `count` channels (up to a vector) from channel c on.
template <int kOut, bool kPartial>
HWY_INLINE void transform_input_vector(const Pixels<kOut + 2>& pixels, int64_t c, size_t count,
                                       float* HWY_RESTRICT dst, int64_t plane) {
  constexpr int kIn = kOut + 2;
  using T = WinogradTransform<kOut>;
  const D d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float columns[kIn * kIn * hn::MaxLanes(D())];
  HWY_UNROLL(32)
  for (int j = 0; j < kIn; ++j) {
    V x[kIn], y[kIn];
    HWY_UNROLL(32)
    for (int i = 0; i < kIn; ++i) {
      const float* from = pixels.at[i][j] + c;
      x[i] = kPartial ? hn::LoadN(d, from, count) : hn::LoadU(d, from);
    }
    T::input(d, x, y);
    HWY_UNROLL(32)
    for (int i = 0; i < kIn; ++i) hn::Store(y[i], d, columns + (i * kIn + j) * lanes);
  }
  HWY_UNROLL(32)
  for (int i = 0; i < kIn; ++i) {
    V x[kIn], y[kIn];
    HWY_UNROLL(32)
    for (int j = 0; j < kIn; ++j) x[j] = hn::Load(d, columns + (i * kIn + j) * lanes);
    T::input(d, x, y);
    HWY_UNROLL(32)
    for (int j = 0; j < kIn; ++j, dst += plane) hn::StoreU(y[j], d, dst);
  }
}

template <int kOut>
HWY_NOINLINE void transform_input(const IgemmShape& s, const Scratch& scratch, const float* src,
                                  const float* zeros, const TileAt& tile, float* dst) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  const Pixels<kOut + 2> pixels(s, src, zeros, tile);
  int64_t c = 0;
  for (; c + lanes <= s.ic; c += lanes) {
    transform_input_vector<kOut, false>(pixels, c, 0, dst + c, scratch.plane);
  }
  if (c < s.ic) {
    transform_input_vector<kOut, true>(pixels, c, static_cast<size_t>(s.ic - c), dst + c,
                                       scratch.plane);
  }
}

/// `size` in `count` parts that are nearly equal: the first `larger` have one more than the others.
struct Parts {
  int64_t count, least, larger;

  Parts(int64_t size, int64_t most)
      : count(winograd::divide_up(size, most)), least(size / count), larger(size % count) {}
  int64_t size(int64_t part) const { return least + (part < larger ? 1 : 0); }
};

/// Products of one point and panel for all tiles of the block.
void multiply(const Scratch& scratch, const Parts& slices, const Parts& pieces, int64_t next_step,
              int vectors, const float* inputs, const float* weights, float* products) {
  const int64_t width = vectors * vector_lanes();
  const auto& functions = kGemmTiles[vectors - 1];
  GemmTile t;
  t.a_stride = scratch.row;
  t.c_stride = scratch.tile;
  t.next_step = next_step;
  t.b = weights;
  for (int64_t i = 0; i < slices.count; ++i) {
    t.depth = slices.size(i);
    t.add = i > 0;
    t.a = inputs;
    t.c = products;
    t.next = t.b + t.depth * width;
    for (int64_t j = 0; j < pieces.count; ++j) {
      const int64_t rows = pieces.size(j);
      functions[static_cast<size_t>(rows - 1)](t);
      t.a += rows * scratch.row;
      t.c += rows * scratch.tile;
      t.next += t.depth / 2 * next_step;
    }
    t.b += t.depth * width;
    inputs += t.depth;
  }
}

/// Where the outputs of a tile go.
struct Target {
  float* dst;
  const float* residual;
  int64_t rows, columns;  // of the tile that are inside
  int64_t dst_row, residual_row;
  int64_t dst_pixel, residual_pixel;
  int64_t pixel;  // number of the tile's first output pixel among all
};

template <int kOut>
Target target_of(const IgemmShape& s, const TileAt& at, const float* residual, float* dst) {
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  Target target;
  target.pixel = (at.image * y.out + at.row * kOut) * x.out + at.column * kOut;
  target.dst_pixel = s.dst_pixel;
  target.residual_pixel = s.residual_pixel;
  target.dst_row = x.out * s.dst_pixel;
  target.residual_row = x.out * s.residual_pixel;
  target.dst = dst + target.pixel * s.dst_pixel;
  target.residual = residual ? residual + target.pixel * s.residual_pixel : nullptr;
  target.rows = std::min<int64_t>(kOut, y.out - at.row * kOut);
  target.columns = std::min<int64_t>(kOut, x.out - at.column * kOut);
  return target;
}

/// Transforms up to a vector of columns back. `product`: floats from one point to the next.
template <int kOut, bool kPartial>
HWY_INLINE void transform_output_vector(const float* HWY_RESTRICT products, int64_t product,
                                        const float* bias, V lo, V hi, size_t count,
                                        const Target& target, int64_t column) {
  constexpr int kIn = kOut + 2;
  using T = WinogradTransform<kOut>;
  const D d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float rows[kOut * kIn * hn::MaxLanes(D())];
  HWY_UNROLL(32)
  for (int j = 0; j < kIn; ++j) {
    V x[kIn], y[kOut];
    HWY_UNROLL(32)
    for (int i = 0; i < kIn; ++i) x[i] = hn::Load(d, products + (i * kIn + j) * product);
    T::output(d, x, y);
    HWY_UNROLL(32)
    for (int i = 0; i < kOut; ++i) hn::Store(y[i], d, rows + (i * kIn + j) * lanes);
  }
  const V b = hn::LoadU(d, bias);
  float* HWY_RESTRICT dst = target.dst + column;
  const float* HWY_RESTRICT residual = target.residual ? target.residual + column : nullptr;
  HWY_UNROLL(32)
  for (int i = 0; i < kOut; ++i) {
    if (i >= target.rows) break;
    V x[kIn], y[kOut];
    HWY_UNROLL(32)
    for (int j = 0; j < kIn; ++j) x[j] = hn::Load(d, rows + (i * kIn + j) * lanes);
    T::output(d, x, y);
    HWY_UNROLL(32)
    for (int j = 0; j < kOut; ++j) {
      if (j >= target.columns) break;
      V sum = hn::Add(y[j], b);
      if (residual) {
        const float* from = residual + j * target.residual_pixel;
        sum = hn::Add(sum, kPartial ? hn::LoadN(d, from, count) : hn::LoadU(d, from));
      }
      sum = min_keep_nan(hi, max_keep_nan(lo, sum));
      float* to = dst + j * target.dst_pixel;
      if (kPartial) {
        hn::StoreN(sum, d, to, count);
      } else {
        hn::StoreU(sum, d, to);
      }
    }
    dst += target.dst_row;
    if (residual) residual += target.residual_row;
  }
}

template <int kOut>
HWY_NOINLINE void transform_output(const BoundEpilogue& epilogue, const float* products,
                                   int64_t product, int64_t column, int64_t count,
                                   const Target& target) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V lo = hn::Set(d, epilogue.lo), hi = hn::Set(d, epilogue.hi);
  int64_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    transform_output_vector<kOut, false>(products + c, product, epilogue.bias + column + c, lo, hi,
                                         0, target, column + c);
  }
  if (c < count) {
    transform_output_vector<kOut, true>(products + c, product, epilogue.bias + column + c, lo, hi,
                                        static_cast<size_t>(count - c), target, column + c);
  }
  if (!epilogue.has_tail()) return;
  for (int64_t i = 0; i < target.rows; ++i) {
    for (int64_t j = 0; j < target.columns; ++j) {
      const int64_t at = i * target.dst_row + j * target.dst_pixel;
      apply_tail(epilogue, target.pixel + at / target.dst_pixel, column, target.dst + at + column,
                 count);
    }
  }
}

template <int kOut>
void run_block(const IgemmShape& s, const BoundEpilogue& epilogue, const WinogradBlock& block,
               const float* src, const float* packed, const float* residual, float* dst,
               float* memory) {
  constexpr int kPoints = (kOut + 2) * (kOut + 2);
  const Grid grid(s, kOut);
  const Panels panels{vector_lanes(), s.oc};
  const Scratch scratch(s, kOut, panels.lanes, block.tiles);
  float* inputs = memory;
  float* products = inputs + scratch.inputs;
  float* zeros = products + scratch.products;
  if (!epilogue.residual) residual = nullptr;
  std::memset(zeros, 0, static_cast<size_t>(s.ic) * sizeof(float));

  TileAt at(grid, block.tile);
  for (int64_t i = 0; i < block.tiles; ++i, at.advance(grid)) {
    transform_input<kOut>(s, scratch, src, zeros, at, inputs + i * scratch.row);
  }
  const Parts slices(s.ic, winograd::kMaxSlice), pieces(block.tiles, kGemmRows);
  // While the pieces of a slice are computed, the next slice comes from memory.
  const int64_t next_step = winograd::divide_up(2 * panels.width(), pieces.count);
  for (int64_t panel = block.panel; panel < block.panel + block.panels; ++panel) {
    const int vectors = static_cast<int>(panels.vectors(panel));
    const int64_t column = panel * panels.width();
    const float* weights = packed + kPoints * s.ic * column;
    for (int64_t point = 0; point < kPoints; ++point) {
      multiply(scratch, slices, pieces, next_step, vectors, inputs + point * scratch.plane, weights,
               products + point * scratch.product);
      weights += s.ic * vectors * panels.lanes;
    }
    at = TileAt(grid, block.tile);
    for (int64_t i = 0; i < block.tiles; ++i, at.advance(grid)) {
      transform_output<kOut>(epilogue, products + i * scratch.tile, scratch.product, column,
                             std::min(s.oc - column, panels.width()),
                             target_of<kOut>(s, at, residual, dst));
    }
  }
}

/// Rows of the matrix that transforms 3 taps: row i is (1, p, p^2) / prod (p - q) over the other
/// finite points q, with the sign that WinogradTransform gives to its side; the last one is the
/// point at infinity.
void weight_rows(int m, double (*rows)[3]) {
  const double a = WinogradPoints::a, b = WinogradPoints::b;
  const double points[2][5] = {{0, 1, -1, 0, 0}, {0, a, -a, b, -b}};
  const double* p = points[m == 4];
  for (int i = 0; i <= m; ++i) {
    double divisor = m == 2 && i == 0 ? -1 : 1;
    for (int j = 0; j <= m; ++j) divisor *= i == j ? 1 : p[i] - p[j];
    for (int k = 0; k < 3; ++k) rows[i][k] = (k == 0 ? 1 : k == 1 ? p[i] : p[i] * p[i]) / divisor;
  }
  rows[m + 1][0] = rows[m + 1][1] = 0;
  rows[m + 1][2] = 1;
}

void pack(const IgemmShape& shape, int m, const IgemmWeights& weights, const IgemmColumns& columns,
          float* packed) {
  // A panel's columns at a time: the compiler vectorises over them, and what is written are whole
  // lines of the cache, some KiB apart.
  constexpr int64_t kColumns = 2 * hn::MaxLanes(D());
  const Panels panels{vector_lanes(), shape.oc};
  const int in = m + 2;
  double rows[6][3];
  weight_rows(m, rows);
  const int64_t end = columns.first + columns.count;
  for (int64_t first = columns.first; first < end; first += panels.width()) {
    const int64_t width = panels.vectors(first / panels.width()) * panels.lanes;
    const int64_t count = std::min(width, end - first);
    const float* from = weights.data + (first - columns.first) * weights.oc_stride;
    float* to = packed + first * in * in * shape.ic;
    for (int64_t c = 0; c < shape.ic; ++c, from += weights.ic_stride, to += width) {
      double taps[9][kColumns] = {}, half[6][3][kColumns];
      for (int64_t l = 0; l < count; ++l) {
        const float* w = from + l * weights.oc_stride;
        for (int t = 0; t < 9; ++t) taps[t][l] = w[weights.tap_offset[t]];
      }
      for (int i = 0; i < in; ++i) {
        for (int x = 0; x < 3; ++x) {
          for (int64_t l = 0; l < kColumns; ++l) {
            half[i][x][l] =
                rows[i][0] * taps[x][l] + rows[i][1] * taps[3 + x][l] + rows[i][2] * taps[6 + x][l];
          }
        }
      }
      for (int i = 0; i < in; ++i) {
        for (int j = 0; j < in; ++j) {
          float sums[kColumns];
          for (int64_t l = 0; l < kColumns; ++l) {
            sums[l] = static_cast<float>(rows[j][0] * half[i][0][l] + rows[j][1] * half[i][1][l] +
                                         rows[j][2] * half[i][2][l]);
          }
          std::copy_n(sums, count, to + (i * in + j) * shape.ic * width);
        }
      }
    }
  }
}

WinogradFn select_function(int m) { return m == 2 ? run_block<2> : run_block<4>; }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(vector_lanes);
HWY_EXPORT(select_function);
HWY_EXPORT(pack);

bool is_winograd_shape(const IgemmShape& shape) {
  const IgemmAxis& z = shape.axis[0];
  if (shape.groups != 1 || z.taps != 1 || z.stride != 1 || z.origin != 0 || z.in != z.out ||
      z.dst_step != 1 || z.dst_size != z.out) {
    return false;
  }
  return std::all_of(shape.axis.begin() + 1, shape.axis.end(), [](const IgemmAxis& axis) {
    return axis.taps == 3 && axis.stride == 1 && axis.step == 1 && axis.dst_step == 1 &&
           axis.dst_origin == 0 && axis.dst_size == axis.out;
  });
}

int64_t winograd_tiles(const IgemmShape& shape, int m) { return winograd::Grid(shape, m).tiles(); }

size_t winograd_packed_size(const IgemmShape& shape, int m) {
  const Panels panels{HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc};
  return static_cast<size_t>((m + 2) * (m + 2) * shape.ic * panels.padded());
}

void winograd_pack(const IgemmShape& shape, int m, const IgemmWeights& weights,
                   const IgemmColumns& columns, float* packed) {
  HWY_DYNAMIC_DISPATCH(pack)(shape, m, weights, columns, packed);
}

size_t winograd_scratch_bytes(const IgemmShape& shape, int m, int64_t tiles) {
  const winograd::Scratch scratch(shape, m, HWY_DYNAMIC_DISPATCH(vector_lanes)(), tiles);
  return static_cast<size_t>(scratch.floats()) * sizeof(float);
}

WinogradFn winograd_function(int m) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(select_function)(m);
}

}  // namespace plica
#endif  // HWY_ONCE
