#include "engine/kernels/igemm.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "engine/kernels/dispatch.h"
#include "hwy/cache_control.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/igemm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef PLICA_IGEMM_ONCE
#define PLICA_IGEMM_ONCE
namespace plica::igemm {

/// Floats of one row of the gathered source: a slice of K, and a vector of slack so that copies may
/// overshoot. Not a power of two, so that the rows of a tile fall into different cache sets.
inline constexpr int64_t kMaxSlice = 256;
inline constexpr int64_t kRowFloats = kMaxSlice + 16;
/// Sums at least this long give the processor time to fetch what they will be added to by itself.
inline constexpr int64_t kLongSum = 192;

/// K is cut into slices as equal as possible, each but the last a multiple of 8.
inline int64_t slice_depth(int64_t depth) {
  if (depth <= kMaxSlice) return std::max<int64_t>(depth, 1);
  const int64_t slices = (depth + kMaxSlice - 1) / kMaxSlice;
  return ((depth + slices - 1) / slices + 7) / 8 * 8;
}

inline int64_t slice_count(int64_t depth) {
  return depth == 0 ? 1 : (depth + slice_depth(depth) - 1) / slice_depth(depth);
}

/// Panels have 2 vectors, the last one perhaps only 1.
struct Panels {
  int64_t lanes, oc;
  int64_t width() const { return 2 * lanes; }
  int64_t count() const { return (oc + width() - 1) / width(); }
  int64_t vectors(int64_t panel) const { return oc - panel * width() > lanes ? 2 : 1; }
  int64_t padded() const { return (count() - 1) * width() + vectors(count() - 1) * lanes; }
};

/// A register tile's place, for all tiles of a block.
struct Tile {
  const float* a;    // of row 0
  int64_t a_stride;  // from one row to the next; kRowFloats but for direct tiles
  const float* w;    // [depth][vectors * lanes]
  int64_t depth;
  const int64_t* dst_offset;       // of each row
  const int64_t* residual_offset;  // of each row
  float* dst;
  const float* residual;
  const float* bias;
  float lo, hi;
  int64_t columns;   // valid ones
  bool first, last;  // slice of K
  // Weights that will be needed soon, and the distance in floats to go on by for each of `depth`.
  const float* next;
  int64_t next_step;
};

}  // namespace plica::igemm
#endif  // PLICA_IGEMM_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using igemm::kLongSum;
using igemm::kRowFloats;
using igemm::Panels;
using igemm::Tile;

#if HWY_TARGET <= HWY_AVX3
// 28 sums, 2 weights and a broadcast of 32 registers.
constexpr int kTileRows = 14;
#else
// 12 sums, 2 weights and a broadcast of 16 registers (and a product where there is no FMA).
constexpr int kTileRows = 6;
#endif

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// x86's minimum and maximum are their second operand if one is NaN.
HWY_INLINE V clamp(V lo, V hi, V x) { return hn::Min(hi, hn::Max(lo, x)); }

/// What run_tile() does with its sums if not all columns are real.
HWY_NOINLINE void finish_narrow_tile(const Tile& t, const float* sums, int rows, int vectors) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V lo = hn::Set(d, t.lo), hi = hn::Set(d, t.hi);
  for (int r = 0; r < rows; ++r, sums += vectors * lanes) {
    for (int64_t c = 0; c < t.columns; c += lanes) {
      const auto left = static_cast<size_t>(t.columns - c);
      float* dst = t.dst + t.dst_offset[r] + c;
      V y = hn::Load(d, sums + c);
      if (!t.first) y = hn::Add(hn::LoadN(d, dst, left), y);
      if (t.last) {
        y = hn::Add(y, hn::LoadU(d, t.bias + c));
        if (t.residual) {
          y = hn::Add(y, hn::LoadN(d, t.residual + t.residual_offset[r] + c, left));
        }
        y = clamp(lo, hi, y);
      }
      hn::StoreN(y, d, dst, left);
    }
  }
}

/// kRows x kPanels adjacent panels of kPanelVecs vectors. kDirect: the rows lie in the source
/// itself.
template <int kRows, int kPanelVecs, int kPanels = 1, bool kDirect = false>
HWY_NOINLINE void run_tile(const Tile& t) {
  constexpr int kVecs = kPanels * kPanelVecs;
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kVecs];
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(d);
  }
  const float* HWY_RESTRICT a = t.a;
  const float* HWY_RESTRICT w = t.w;
  const int64_t panel = t.depth * kPanelVecs * lanes;
  // Rows 4 * i + (0, 1, 2, 3) are at base[i] + (0, 1, 2, 3) strides: more pointers than that do not
  // fit into the registers.
  constexpr int kBases = kDirect ? (kRows + 3) / 4 : 1;
  const float* base[4] = {a, a + 4 * t.a_stride, a + 8 * t.a_stride, a + 12 * t.a_stride};
  const int64_t stride = t.a_stride, stride3 = 3 * t.a_stride;
  const float* next = t.next;
  if (t.depth < kLongSum) {
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) {
        __builtin_prefetch(t.dst + t.dst_offset[r] + v * lanes, 1, 2);
        if (t.residual) __builtin_prefetch(t.residual + t.residual_offset[r] + v * lanes, 0, 2);
      }
    }
  }
  for (int64_t k = t.depth; k > 0; --k) {
    __builtin_prefetch(next, 0, 2);
    next += t.next_step;
    // Keeps the compiler from making one pointer for each row.
    HWY_UNROLL(32)
    for (int i = 0; i < kBases; ++i) asm("" : "+r"(base[i]));
    V weight[kVecs];
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) {
      weight[v] = hn::Load(d, w + v / kPanelVecs * panel + v % kPanelVecs * lanes);
    }
    w += kPanelVecs * lanes;
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      const int64_t within = r % 4 == 3 ? stride3 : r % 4 * stride;
      const V x = hn::Set(d, kDirect ? base[r / 4][within] : base[0][r * kRowFloats]);
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(x, weight[v], sum[r][v]);
    }
    HWY_UNROLL(32)
    for (int i = 0; i < kBases; ++i) ++base[i];
  }
  if (t.columns < kVecs * lanes) {
    HWY_ALIGN float sums[kRows * kVecs * hn::MaxLanes(D())];
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) hn::Store(sum[r][v], d, sums + (r * kVecs + v) * lanes);
    }
    finish_narrow_tile(t, sums, kRows, kVecs);
    return;
  }
  float* HWY_RESTRICT dst = t.dst;
  if (!t.first) {
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) {
        sum[r][v] = hn::Add(hn::LoadU(d, dst + t.dst_offset[r] + v * lanes), sum[r][v]);
      }
    }
  }
  if (t.last) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) {
      const V bias = hn::LoadU(d, t.bias + v * lanes);
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) sum[r][v] = hn::Add(sum[r][v], bias);
    }
    if (t.residual) {
      HWY_UNROLL(32)
      for (int r = 0; r < kRows; ++r) {
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) {
          const float* residual = t.residual + t.residual_offset[r] + v * lanes;
          sum[r][v] = hn::Add(sum[r][v], hn::LoadU(d, residual));
        }
      }
    }
    const V lo = hn::Set(d, t.lo), hi = hn::Set(d, t.hi);
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) sum[r][v] = clamp(lo, hi, sum[r][v]);
    }
  }
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) {
      hn::StoreU(sum[r][v], d, dst + t.dst_offset[r] + v * lanes);
    }
  }
}

using TileFn = void (*)(const Tile&);
template <int kVecs, bool kDirect, int... kRows>
constexpr std::array<TileFn, sizeof...(kRows)> tile_functions(
    std::integer_sequence<int, kRows...>) {
  return {run_tile<kRows + 1, kVecs, 1, kDirect>...};
}
using RowCounts = std::make_integer_sequence<int, kTileRows>;
/// [direct][vectors - 1][rows - 1]
constexpr std::array<TileFn, kTileRows> kTiles[2][2] = {
    {tile_functions<1, false>(RowCounts()), tile_functions<2, false>(RowCounts())},
    {tile_functions<1, true>(RowCounts()), tile_functions<2, true>(RowCounts())}};

/// With few rows, one panel has too few sums to hide the latency of an addition: several panels at
/// a time, [rows - 1][panels - 1].
constexpr int kWideRows = 3;
constexpr int kWidePanels = 4;
constexpr TileFn kWide[kWideRows][kWidePanels] = {
    {run_tile<1, 2, 1>, run_tile<1, 2, 2>, run_tile<1, 2, 3>, run_tile<1, 2, 4>},
    {run_tile<2, 2, 1>, run_tile<2, 2, 2>},
    {run_tile<3, 2, 1>, run_tile<3, 2, 2>},
};

/// Panels, from the `left` full ones on, to compute at a time for a block of `rows`.
int64_t wide_panels(int64_t rows, int64_t left) {
  if (rows > kWideRows) return 1;
  return std::clamp<int64_t>(left, 1, rows == 1 ? kWidePanels : 2);
}

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

bool is_plain(const IgemmShape& s) {
  for (const IgemmAxis& axis : s.axis) {
    if (axis.taps != 1 || axis.stride != 1 || axis.origin != 0 || axis.in != axis.out) return false;
  }
  return true;
}

/// A part of K whose inputs lie next to each other in memory, were it not for the borders: taps
/// [tap, tap + taps) of axis 2, or part of one tap.
struct Run {
  int64_t tap[2];     // of axes 0 and 1
  int64_t first;      // float of the line of input that a row at position 0 starts at
  int64_t per_pixel;  // floats of that line per input pixel
  int64_t count;
};

/// Whether tiles may read the source itself. Not if its rows would fight for the same sets of the
/// cache, of which a row every 2 KiB leaves only two.
bool is_direct(const IgemmShape& s) { return is_plain(s) && s.src_pixel % 512 != 0; }

/// Copies the inputs that `rows` rows meet in `run`, zeros for padding.
HWY_INLINE void gather_run(const IgemmShape& s, const float* src, int64_t row, int64_t rows,
                           const Run& run, float* dst) {
  const auto& [z, y, x] = s.axis;
  Pixel at(s, row);
  for (int64_t r = 0; r < rows; ++r, dst += kRowFloats, at.advance(s)) {
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

/// Rows [row, row + rows) of the slice [k0, k1) of K, to dst[row][kRowFloats].
void gather(const IgemmShape& s, const float* src, int64_t row, int64_t rows, int64_t k0,
            int64_t k1, float* dst) {
  if (is_plain(s)) {
    for (int64_t r = 0; r < rows; ++r, dst += kRowFloats) {
      const float* from = src + (row + r) * s.src_pixel + k0;
      // Rows are too far apart for the processor to foresee the next one.
      if (r + 2 < rows) {
        for (int64_t k = 0; k < k1 - k0; k += 16) hwy::Prefetch(from + 2 * s.src_pixel + k);
      }
      gather_copy(from, dst, k1 - k0);
    }
    return;
  }
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
    gather_run(s, src, row, rows, run, dst + (k - k0));
    k += run.count;
  }
}

void place_rows(const IgemmShape& s, int64_t row, int64_t rows, int64_t* dst, int64_t* residual) {
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

void run_block(const IgemmShape& s, const BoundEpilogue& epilogue, const IgemmBlock& block,
               const float* src, const float* packed, const float* residual, float* dst,
               float* scratch) {
  const Panels panels{static_cast<int64_t>(hn::Lanes(D())), s.oc};
  const int64_t depth = s.depth();
  const int64_t slice = igemm::slice_depth(depth);
  const int64_t slices = igemm::slice_count(depth);
  auto* dst_offset = reinterpret_cast<int64_t*>(scratch + block.rows * kRowFloats);
  int64_t* residual_offset = dst_offset + block.rows;
  place_rows(s, block.row, block.rows, dst_offset, residual_offset);
  packed += block.group * depth * panels.padded();
  src += block.group * s.ic;
  const int64_t tiles = (block.rows + kTileRows - 1) / kTileRows;
  const bool direct = block.rows > kWideRows && is_direct(s);
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t k0 = i * slice, k1 = std::min(depth, k0 + slice);
    if (!direct) gather(s, src, block.row, block.rows, k0, k1, scratch);
    Tile tile;
    const float* a = direct ? src + block.row * s.src_pixel + k0 : scratch;
    tile.a_stride = direct ? s.src_pixel : kRowFloats;
    const int64_t end_panel = block.panel + block.panels;
    const int64_t full_end = std::min(end_panel, s.oc / panels.width());
    for (int64_t panel = block.panel, count = 1; panel < end_panel; panel += count) {
      count = wide_panels(block.rows, full_end - panel);
      const int64_t column = panel * panels.width();
      const int64_t channel = block.group * s.oc + column;
      tile.w = packed + k0 * panels.padded() + column * (k1 - k0);
      tile.depth = k1 - k0;
      tile.dst = dst + channel;
      tile.residual = epilogue.residual ? residual + channel : nullptr;
      tile.bias = epilogue.bias + block.group * panels.padded() + column;
      tile.lo = epilogue.lo;
      tile.hi = epilogue.hi;
      tile.columns = std::min(count * panels.width(), s.oc - column);
      tile.first = i == 0;
      tile.last = i + 1 == slices;
      if (count > 1) {
        tile.next = tile.w;
        tile.next_step = 0;
        tile.a = a;
        tile.dst_offset = dst_offset;
        tile.residual_offset = residual_offset;
        kWide[block.rows - 1][count - 1](tile);
        continue;
      }
      const auto& functions = kTiles[direct][panels.vectors(panel) - 1];
      // While the tiles of a panel are computed, the next panel comes from memory.
      const float* next = tile.w + tile.depth * panels.width();
      tile.next_step = (panels.width() + tiles - 1) / tiles;
      // Tiles of nearly equal heights.
      for (int64_t j = 0; j < tiles; ++j) {
        const int64_t begin = j * block.rows / tiles, end = (j + 1) * block.rows / tiles;
        tile.next = next + j * tile.next_step * tile.depth;
        tile.a = a + begin * tile.a_stride;
        tile.dst_offset = dst_offset + begin;
        tile.residual_offset = residual_offset + begin;
        functions[static_cast<size_t>(end - begin - 1)](tile);
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
  int64_t first = 0;
  if (weights.ic_stride == 1 && shape.taps() == 1) {
    // Squares of 4 x 4, transposed in registers.
    const hn::FixedTag<float, 4> d;
    for (; depth % 4 == 0 && first + 4 <= columns; first += 4) {
      const float* row = from + weights.tap_offset[0] + first * weights.oc_stride + k;
      for (int64_t j = 0; j < depth; j += 4, row += 4) {
        const auto r0 = hn::LoadU(d, row);
        const auto r1 = hn::LoadU(d, row + weights.oc_stride);
        const auto r2 = hn::LoadU(d, row + 2 * weights.oc_stride);
        const auto r3 = hn::LoadU(d, row + 3 * weights.oc_stride);
        const auto even_low = hn::InterleaveLower(d, r0, r2);
        const auto even_high = hn::InterleaveUpper(d, r0, r2);
        const auto odd_low = hn::InterleaveLower(d, r1, r3);
        const auto odd_high = hn::InterleaveUpper(d, r1, r3);
        float* out = to + j * width + first;
        hn::StoreU(hn::InterleaveLower(d, even_low, odd_low), d, out);
        hn::StoreU(hn::InterleaveUpper(d, even_low, odd_low), d, out + width);
        hn::StoreU(hn::InterleaveLower(d, even_high, odd_high), d, out + 2 * width);
        hn::StoreU(hn::InterleaveUpper(d, even_high, odd_high), d, out + 3 * width);
      }
    }
  }
  for (int64_t i = first; i < columns; ++i) {
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
  const auto in_order = [](const IgemmAxis& axis) {
    return axis.dst_step == 1 && axis.dst_origin == 0 && axis.dst_size == axis.out;
  };
  const auto& [z, y, x] = shape.axis;
  return z == IgemmAxis() && in_order(y) && in_order(x) && shape.n > 0 && y.out > 1;
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

int64_t igemm_padded_columns(const IgemmShape& shape) {
  return igemm::Panels{HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc}.padded();
}

size_t igemm_packed_size(const IgemmShape& shape) {
  return static_cast<size_t>(shape.groups * shape.depth() * igemm_padded_columns(shape));
}

namespace {
constexpr int64_t kPackDepth = 64;
}  // namespace

void igemm_pack_columns(const IgemmShape& shape, const IgemmWeights& weights,
                        const IgemmColumns& columns, float* packed) {
  const igemm::Panels panels{HWY_DYNAMIC_DISPATCH(vector_lanes)(), shape.oc};
  const int64_t depth = shape.depth(), slice = igemm::slice_depth(depth);
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

size_t igemm_scratch_bytes(int64_t rows) {
  return static_cast<size_t>(rows) * (igemm::kRowFloats * sizeof(float) + 2 * sizeof(int64_t));
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
