#include "engine/kernels/igemm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/panels.h"
#include "engine/kernels/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/igemm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/igemm_tile-inl.h"
#include "engine/kernels/transpose-inl.h"

#ifndef PLICA_IGEMM_ONCE
#define PLICA_IGEMM_ONCE
namespace plica::igemm {

/// K is cut into slices as equal as possible, each but the last a multiple of 8. Products of whole
/// pixels are cut only where weights would no longer stay in the second level of the cache.
/// Depends on nothing but the weights and the strides: so does how weights are packed.
inline int64_t slice_depth(const IgemmShape& shape) {
  bool pixels = shape.taps() == 1;
  for (const IgemmAxis& axis : shape.axis) pixels = pixels && axis.stride == 1;
  const int64_t most = pixels ? 1024 : 512;
  const int64_t depth = shape.depth();
  if (depth <= most) return std::max<int64_t>(depth, 1);
  const int64_t slices = ceil_div(depth, most);
  return round_up(ceil_div(depth, slices), 8);
}

inline int64_t slice_count(const IgemmShape& shape) {
  const int64_t depth = shape.depth(), slice = slice_depth(shape);
  return depth == 0 ? 1 : ceil_div(depth, slice);
}

/// From one row of the gathered source to the next: a slice of K in whole cache lines, and a vector
/// of slack so that copies may overshoot.
inline int64_t row_floats(const IgemmShape& shape) { return round_up(slice_depth(shape), 16) + 16; }

/// Whether output positions are stored one after the other.
inline bool in_order(const IgemmAxis& axis) {
  return axis.dst_step == 1 && axis.dst_origin == 0 && axis.dst_size == axis.out;
}

/// Whether rows are the pixels of the source, in their order.
inline bool is_plain(const IgemmShape& shape) {
  for (const IgemmAxis& axis : shape.axis) {
    if (axis.taps != 1 || axis.stride != 1 || axis.origin != 0 || axis.in != axis.out) return false;
  }
  return true;
}

}  // namespace plica::igemm
#endif  // PLICA_IGEMM_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;

/// Rows of a tile whose rows are so far apart that they fall into a few sets of the first level of
/// the cache: of 8 ways, one or two are left to weights.
constexpr int kConflictRows = 6;
/// With sums at most this long, the processor does not foresee the rows of the next tile in time.
constexpr int64_t kShortSum = 256;
/// With sums at most this long, inputs and outputs are more traffic than weights, if those are in
/// the second level of the cache.
constexpr int64_t kShortestSum = 128;
constexpr int64_t kNearWeightBytes = 256 * 1024;

/// May write up to a vector more than `count` to `dst`.
HWY_INLINE void gather_copy(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, int64_t count) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::LoadU(d, src + i), d, dst + i);
  if (i < count) {
    hn::StoreU(hn::LoadN(d, src + i, static_cast<size_t>(count - i)), d, dst + i);
  }
}

HWY_INLINE void gather_zeros(float* dst, int64_t count) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < count; i += lanes) hn::StoreU(hn::Zero(d), d, dst + i);
}

/// Position of a row.
struct Pixel {
  int64_t n, o[3];

  Pixel(const IgemmShape& s, int64_t row) {
    for (int i = 2; i >= 0; --i) {
      o[i] = row % s.axis[i].out;
      row /= s.axis[i].out;
    }
    n = row;
  }
  void advance(const IgemmShape& s) {
    for (int i = 2; i >= 0; --i) {
      if (++o[i] < s.axis[i].out) return;
      o[i] = 0;
    }
    ++n;
  }
};

/// A part of K whose inputs lie next to each other in memory, were it not for the borders: taps
/// [tap, tap + taps) of axis 2, or part of one tap.
struct Run {
  int64_t tap[2];     // of axes 0 and 1
  int64_t first;      // float of the line of input that a row at position 0 starts at
  int64_t per_pixel;  // floats of that line per input pixel
  int64_t count;
};

/// Copies the inputs that `rows` rows meet in `run`, zeros for padding.
HWY_INLINE void gather_run(const IgemmShape& s, const float* src, int64_t row, int64_t rows,
                           const Run& run, int64_t dst_row, float* dst) {
  const auto& [z, y, x] = s.axis;
  Pixel at(s, row);
  for (int64_t r = 0; r < rows; ++r, dst += dst_row, at.advance(s)) {
    const int64_t iz = at.o[0] * z.stride + z.origin + run.tap[0] * z.step;
    const int64_t iy = at.o[1] * y.stride + y.origin + run.tap[1] * y.step;
    if (iz < 0 || iz >= z.in || iy < 0 || iy >= y.in) {
      gather_zeros(dst, run.count);
      continue;
    }
    const float* line = src + ((at.n * z.in + iz) * y.in + iy) * x.in * s.src_pixel;
    const int64_t begin = run.first + at.o[2] * x.stride * run.per_pixel;
    const int64_t length = (x.in - 1) * run.per_pixel + s.ic;
    if (begin >= 0 && begin + run.count <= length) {
      gather_copy(line + begin, dst, run.count);
      continue;
    }
    const int64_t lo = std::clamp<int64_t>(-begin, 0, run.count);
    const int64_t hi = std::clamp<int64_t>(length - begin, lo, run.count);
    gather_zeros(dst, lo);
    gather_copy(line + begin + lo, dst + lo, hi - lo);
    gather_zeros(dst + hi, run.count - hi);
  }
}

/// Rows [row, row + rows) of the slice [k0, k1) of K, to dst[row][igemm::row_floats()].
void gather(const IgemmShape& s, const float* src, int64_t row, int64_t rows, int64_t k0,
            int64_t k1, float* dst) {
  const auto& [z, y, x] = s.axis;
  const bool merge = x.step == 1 && s.src_pixel == s.ic;
  const int64_t length = merge ? x.taps * s.ic : s.ic;
  for (int64_t k = k0; k < k1;) {
    const int64_t line = k / (x.taps * s.ic);
    const int64_t tap = merge ? 0 : k / s.ic % x.taps;
    const int64_t within = k % length;
    Run run;
    run.tap[0] = line / y.taps;
    run.tap[1] = line % y.taps;
    run.per_pixel = s.src_pixel;
    run.first = (x.origin + tap * x.step) * s.src_pixel + within;
    run.count = std::min(k1 - k, length - within);
    gather_run(s, src, row, rows, run, igemm::row_floats(s), dst + (k - k0));
    k += run.count;
  }
}

void place_rows(const IgemmShape& s, int64_t row, int64_t rows, int64_t* dst, int64_t* residual) {
  if (std::all_of(s.axis.begin(), s.axis.end(), igemm::in_order)) {
    for (int64_t r = 0; r < rows; ++r) {
      dst[r] = (row + r) * s.dst_pixel;
      residual[r] = (row + r) * s.residual_pixel;
    }
    return;
  }
  Pixel at(s, row);
  for (int64_t r = 0; r < rows; ++r, at.advance(s)) {
    int64_t pixel = at.n;
    for (int i = 0; i < 3; ++i) {
      const IgemmAxis& axis = s.axis[i];
      pixel = pixel * axis.dst_size + at.o[i] * axis.dst_step + axis.dst_origin;
    }
    dst[r] = pixel * s.dst_pixel;
    residual[r] = pixel * s.residual_pixel;
  }
}

/// Whether rows fall into so few sets of the cache that tiles should have kConflictRows.
bool conflicts(int64_t a_stride) { return kTileRows > kConflictRows && a_stride % 512 == 0; }

/// All rows of a block, in `wide` panels of `vectors`: those that `tiles` points to.
void run_panels(int64_t rows, int64_t wide, int64_t vectors, Tiles tiles) {
  const bool pair = wide == 2 && rows > 1;
  const int64_t most = pair ? kPairRows : conflicts(tiles.a_stride) ? kConflictRows : kTileRows;
  const TilesFn* functions = pair ? kPairTiles.data() : kTiles[vectors - 1].data();
  if (rows == 1 && wide > 1) functions = &kRowTiles[wide - 1];
  const Parts heights(rows, most);
  const float* const first = tiles.a;
  // While the tiles of a panel are computed, the next panel comes from memory.
  if (rows > kPairRows) {
    const int64_t width = wide * 2 * static_cast<int64_t>(hn::Lanes(D()));
    tiles.next_step = ceil_div(kTileUnroll * width, heights.count);
  }
  // All tiles of a height in one call.
  for (int64_t i = 0; i < heights.count; i += tiles.count) {
    const int64_t height = heights.size(i);
    const bool taller = i < heights.larger;
    tiles.count = taller ? heights.larger : heights.count - i;
    const int64_t rows_here = tiles.count * height;
    const float* const end = tiles.a + rows_here * tiles.a_stride;
    tiles.a_after = taller ? end : first;
    if (tiles.depth <= kShortSum && tiles.a_stride == tiles.depth) {
      tiles.ahead_step = kTileUnroll * height;
    }
    tiles.row_step = height;
    functions[height - 1](tiles);
    tiles.a = end;
    tiles.dst_offset += rows_here;
    tiles.residual_offset += rows_here;
    tiles.next += tiles.count * (tiles.depth / kTileUnroll) * tiles.next_step;
  }
}

/// All full panels of the block, several, rows of a tile's height at a time: weights come from the
/// second level of the cache again and again, but each input is read and each output written in one
/// go.
void run_by_rows(int64_t rows, int64_t panels, Tiles tiles) {
  const Parts heights(rows, kTileRows);
  const int64_t width = 2 * static_cast<int64_t>(hn::Lanes(D()));
  tiles.count = panels;
  tiles.w_step = tiles.depth * width;
  tiles.column_step = tiles.columns = width;
  tiles.next = tiles.w;
  const bool outputs_are_dense =
      rows > 1 && tiles.dst_offset[1] - tiles.dst_offset[0] == panels * width;
  for (int64_t i = 0; i < heights.count; ++i) {
    const int64_t height = heights.size(i);
    tiles.a_after = tiles.a + height * tiles.a_stride;
    if (tiles.a_stride == tiles.depth) tiles.ahead_step = kTileUnroll * height;
    if (i + 1 < heights.count && (tiles.residual || outputs_are_dense)) {
      // Of the next rows, the columns of all panels in one go: what is added, or where they go.
      tiles.next = tiles.residual ? tiles.residual + tiles.residual_offset[height]
                                  : tiles.dst + tiles.dst_offset[height];
      tiles.next_step = ceil_div(kTileUnroll * height * width, tiles.depth);
    }
    kTiles[1][height - 1](tiles);
    tiles.a = tiles.a_after;
    tiles.dst_offset += height;
    tiles.residual_offset += height;
  }
}

void run_block(const IgemmShape& s, const BoundEpilogue& epilogue, const IgemmBlock& block,
               const float* src, const float* packed, const float* residual, float* dst,
               float* scratch) {
  const Panels panels{static_cast<int64_t>(hn::Lanes(D())), s.oc};
  const int64_t depth = s.depth();
  const int64_t slice = igemm::slice_depth(s), slices = igemm::slice_count(s);
  const bool plain = igemm::is_plain(s);
  const int64_t gathered = plain ? 0 : block.rows * igemm::row_floats(s);
  auto* dst_offset = reinterpret_cast<int64_t*>(scratch + gathered);
  int64_t* residual_offset = dst_offset + block.rows;
  place_rows(s, block.row, block.rows, dst_offset, residual_offset);
  packed += block.group * depth * panels.padded();
  src += block.group * s.ic;
  Tiles tiles{};
  tiles.dst_offset = dst_offset;
  tiles.residual_offset = residual_offset;
  tiles.a_stride = plain ? s.src_pixel : igemm::row_floats(s);
  tiles.lo = epilogue.lo;
  tiles.hi = epilogue.hi;
  tiles.below = std::isfinite(epilogue.lo);
  tiles.above = std::isfinite(epilogue.hi);
  const int64_t end_panel = block.panel + block.panels;
  const int64_t full_end = std::min(end_panel, s.oc / panels.width());
  const bool pairs = block.rows <= kPairRows || conflicts(tiles.a_stride);
  const int64_t near_bytes = block.panels * panels.width() * depth * 4;
  const bool by_rows =
      depth > 0 && depth <= kShortestSum && near_bytes <= kNearWeightBytes && !pairs;
  const auto slice_begin = [&](int64_t i) { return std::min(depth, i * slice); };
  const auto weights = [&](int64_t i, int64_t panel) {
    const int64_t k0 = slice_begin(i), k1 = slice_begin(i + 1);
    return packed + k0 * panels.padded() + panel * panels.width() * (k1 - k0);
  };
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t k0 = slice_begin(i), k1 = slice_begin(i + 1);
    if (!plain) gather(s, src, block.row, block.rows, k0, k1, scratch);
    tiles.a = plain ? src + block.row * s.src_pixel + k0 : scratch;
    tiles.depth = k1 - k0;
    tiles.first = i == 0;
    tiles.last = i + 1 == slices;
    for (int64_t panel = block.panel, wide; panel < end_panel; panel += wide) {
      const int64_t most = block.rows == 1 ? std::size(kRowTiles) : pairs ? 2 : 1;
      wide = std::clamp<int64_t>(full_end - panel, 1, most);
      const int64_t column = panel * panels.width();
      const int64_t channel = block.group * s.oc + column;
      tiles.w = weights(i, panel);
      // What this thread reads next: of this slice, of the next one, of the next block.
      tiles.next = panel + wide < end_panel                ? weights(i, panel + wide)
                   : !tiles.last                           ? weights(i + 1, block.panel)
                   : column + wide * panels.width() < s.oc ? weights(0, end_panel)
                                                           : weights(i, end_panel);
      tiles.dst = dst + channel;
      tiles.residual = epilogue.residual ? residual + channel : nullptr;
      tiles.bias = epilogue.bias + block.group * panels.padded() + column;
      tiles.columns = std::min(wide * panels.width(), s.oc - column);
      if (by_rows && full_end > panel + 1) {
        wide = full_end - panel;
        run_by_rows(block.rows, wide, tiles);
      } else {
        run_panels(block.rows, wide, panels.vectors(panel), tiles);
      }
    }
  }
  if (!epilogue.has_tail()) return;
  const int64_t column = block.panel * panels.width();
  const int64_t channel = block.group * s.oc + column;
  const int64_t columns = std::min(block.panels * panels.width(), s.oc - column);
  const int64_t first = dst_offset[0], last = dst_offset[block.rows - 1];
  if (last - first == (block.rows - 1) * s.dst_pixel) {
    apply_tail_rows(epilogue, first / s.dst_pixel, block.rows, s.dst_pixel, channel,
                    dst + first + channel, columns);
    return;
  }
  for (int64_t r = 0; r < block.rows; ++r) {
    apply_tail(epilogue, dst_offset[r] / s.dst_pixel, channel, dst + dst_offset[r] + channel,
               columns);
  }
}

/// to[j * width + i] = the weight of column i at depth k + j.
void pack_piece(const IgemmShape& shape, const IgemmWeights& weights, const float* from,
                int64_t columns, int64_t k, int64_t depth, int64_t width, float* to) {
  if (weights.ic_stride == 1 && shape.taps() == 1) {
    transpose(from + weights.tap_offset[0] + k, weights.oc_stride, columns, depth, width, to);
    return;
  }
  for (int64_t i = 0; i < columns; ++i) {
    int64_t tap = k / shape.ic, c = k % shape.ic;
    const float* row = from + i * weights.oc_stride;
    for (int64_t j = 0; j < depth; ++j) {
      to[j * width + i] = row[weights.tap_offset[tap] + c * weights.ic_stride];
      if (++c == shape.ic) c = 0, ++tap;
    }
  }
}

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }
int64_t tile_rows() { return kTileRows; }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(run_block);
HWY_EXPORT(pack_piece);
HWY_EXPORT(vector_lanes);
HWY_EXPORT(tile_rows);

IgemmTile igemm_tile() {
  return {HWY_DYNAMIC_DISPATCH(tile_rows)(), 2 * HWY_DYNAMIC_DISPATCH(vector_lanes)()};
}

bool is_image(const IgemmShape& shape) {
  const auto& [z, y, x] = shape.axis;
  return z == IgemmAxis() && igemm::in_order(y) && igemm::in_order(x) && shape.n > 0 && y.out > 1;
}

RowLayout row_layout_of(const IgemmShape& shape, int src) {
  const auto& [z, y, x] = shape.axis;
  return {.src = src,
          .images = shape.n,
          .in_rows = y.in,
          .out_rows = y.out,
          .in_row = x.in * shape.src_pixel,
          .out_row = x.out * shape.dst_pixel};
}

RowRange input_rows(const IgemmAxis& axis, RowRange out) {
  const int64_t first = out.begin * axis.stride + axis.origin;
  const int64_t last = (out.end - 1) * axis.stride + axis.origin + (axis.taps - 1) * axis.step;
  const int64_t begin = std::clamp<int64_t>(first, 0, axis.in);
  return {begin, std::clamp<int64_t>(last + 1, begin, axis.in)};
}

TapRange taps_inside(const IgemmAxis& axis, int64_t position) {
  const int64_t left = axis.in - position;
  const int64_t first = position >= 0 ? 0 : std::min(ceil_div(-position, axis.step), axis.taps);
  const int64_t last = left <= 0 ? 0 : std::min(ceil_div(left, axis.step), axis.taps);
  return {first, std::max(first, last)};
}

int64_t igemm_padded_columns(const IgemmShape& shape) {
  return Panels{HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc}.padded();
}

size_t igemm_packed_size(const IgemmShape& shape) {
  return static_cast<size_t>(shape.groups * shape.depth() * igemm_padded_columns(shape));
}

namespace {
constexpr int64_t kPackDepth = 64;
}  // namespace

void igemm_pack_columns(const IgemmShape& shape, const IgemmWeights& weights,
                        const IgemmColumns& columns, float* packed) {
  const Panels panels{HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc};
  const int64_t depth = shape.depth(), slice = igemm::slice_depth(shape);
  const auto pack = HWY_DYNAMIC_POINTER(pack_piece);
  packed += columns.group * depth * panels.padded();
  const int64_t end = columns.first + columns.count;
  for (int64_t column = columns.first; column < end; column += panels.width()) {
    const int64_t width = panels.vectors(column / panels.width()) * panels.lanes;
    const int64_t count = std::min(width, end - column);
    const float* from = weights.data + (column - columns.first) * weights.oc_stride;
    for (int64_t k0 = 0; k0 < depth; k0 += slice) {
      const int64_t k1 = std::min(depth, k0 + slice);
      float* to = packed + k0 * panels.padded() + column * (k1 - k0);
      // Short pieces of K: what is written stays in the first level of the cache.
      for (int64_t k = k0; k < k1; k += kPackDepth, to += kPackDepth * width) {
        pack(shape, weights, from, count, k, std::min(kPackDepth, k1 - k), width, to);
      }
    }
  }
}

void igemm_pack(const IgemmShape& shape, const IgemmWeights& weights, float* packed) {
  IgemmWeights from = weights;
  for (int64_t group = 0; group < shape.groups; ++group, from.data += weights.group_stride) {
    igemm_pack_columns(shape, from, {group, 0, shape.oc}, packed);
  }
}

void igemm_pack_bias(const IgemmShape& shape, const float* bias, float* packed) {
  const int64_t padded = igemm_padded_columns(shape);
  for (int64_t group = 0; group < shape.groups; ++group) {
    std::copy_n(bias + group * shape.oc, shape.oc, packed + group * padded);
  }
}

int64_t igemm_max_rows(const IgemmShape& shape) { return igemm::is_plain(shape) ? 224 : 112; }

size_t igemm_scratch_bytes(const IgemmShape& shape, int64_t rows) {
  const int64_t gathered = igemm::is_plain(shape) ? 0 : igemm::row_floats(shape);
  return static_cast<size_t>(rows) *
         (static_cast<size_t>(gathered) * sizeof(float) + 2 * sizeof(int64_t));
}

IgemmFn igemm_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(run_block);
}

void igemm_run(const IgemmShape& shape, const BoundEpilogue& epilogue, const IgemmBlock& block,
               const float* src, const float* packed, const float* residual, float* dst,
               float* scratch) {
  igemm_function()(shape, epilogue, block, src, packed, residual, dst, scratch);
}

}  // namespace plica
#endif  // HWY_ONCE
