// What kernels that compute convolutions line by line have in common.

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/conv_line.h"
#include "engine/kernels/parts.h"
#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_CONV_LINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_CONV_LINE_INL_H_
#undef PLICA_ENGINE_KERNELS_CONV_LINE_INL_H_
#else
#define PLICA_ENGINE_KERNELS_CONV_LINE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Whether run_line_tiles() can compute lines of this convolution, but for what the tile has to do
/// about axis 0.
inline bool has_plain_lines(const IgemmShape& s) {
  const IgemmAxis& x = s.axis[2];
  if (x.dst_step != 1 || x.origin > 0) return false;
  if (x.step > 1 && x.stride > 1) return false;
  // Each pixel has to see a column that is inside.
  return x.step <= x.in && x.origin >= -(x.taps - 1) * x.step &&
         (x.out - 1) * x.stride + x.origin < x.in;
}

/// The rows of the input that a line sees.
struct Rows {
  TapRange planes, taps;  // of axes 0 and 1
  int64_t plane, row;     // floats from what one tap of these sees to what the next does
  const float* src;       // of the first taps' row at column 0

  explicit Rows(const ConvLine& line) {
    const auto& [z, y, x] = line.shape->axis;
    planes = taps_inside(z, line.z0);
    taps = taps_inside(y, line.y0);
    const int64_t width = x.in * line.shape->src_pixel;
    row = y.step * width;
    plane = z.step * y.in * width;
    src = line.src + (line.z0 * y.in + line.y0) * width + planes.first * plane + taps.first * row;
  }
};

/// Every D-th pixel of a line with dilation D: a line without dilation, whose pixels lie D times as
/// far apart.
struct Comb {
  IgemmShape shape;
  ConvLine line;
  Rows rows;

  Comb(const ConvLine& whole, const Rows& all_rows, int64_t first)
      : shape(*whole.shape), line(whole), rows(all_rows) {
    const IgemmAxis& from = whole.shape->axis[2];
    IgemmAxis& x = shape.axis[2];
    // The column of the first tap, counted in steps from a column that is inside.
    const int64_t column = first + from.origin;
    const int64_t inside = (column % from.step + from.step) % from.step;
    x.origin = (column - inside) / from.step;
    x.in = inside >= from.in ? 0 : ceil_div(from.in - inside, from.step);
    x.out = ceil_div(from.out - first, from.step);
    x.step = 1;
    rows.src += inside * shape.src_pixel;
    line.dst += first * shape.dst_pixel;
    if (line.residual) line.residual += first * shape.residual_pixel;
    shape.src_pixel *= from.step;
    shape.dst_pixel *= from.step;
    shape.residual_pixel *= from.step;
    line.shape = &shape;
  }
  Comb(const Comb&) = delete;
  Comb& operator=(const Comb&) = delete;
};

/// The columns that some pixels see, from `first` of the image on; [begin, end) are inside.
template <int kColumns, int kTaps, bool kInside>
struct Columns {
  int64_t first;
  int begin, end;

  Columns(const IgemmAxis& x, int64_t ox) {
    first = ox * x.stride + x.origin;
    begin = static_cast<int>(std::max<int64_t>(-first, 0));
    end = static_cast<int>(std::min<int64_t>(x.in - first, kColumns));
  }
  HWY_INLINE bool outside(int i) const {
    return !kInside && ((i < kTaps - 1 && i < begin) || (i > kColumns - kTaps && i >= end));
  }
};

/// Or the compiler loads a value anew for each of its products, across two lines of the cache where
/// channels are no multiple of a vector.
template <class V>
HWY_INLINE void keep_in_register([[maybe_unused]] V& value) {
#if HWY_ARCH_X86
  asm("" : "+v"(value.raw));
#endif
}

/// Adds the input of column `i` to the sums of those adjacent pixels that see it.
template <int kPixels, int kTaps, int kStride, class V>
HWY_INLINE void add_column(int i, V value, const V* weight, V* sum) {
  HWY_UNROLL(32)
  for (int t = 0; t < kTaps; ++t) {
    const int offset = i - t, p = offset / kStride;
    if (offset < 0 || offset % kStride != 0 || p >= kPixels) continue;
    sum[p] = hn::MulAdd(value, weight[t], sum[p]);
  }
}

/// Stores the sums of adjacent pixels, bias included, from `ox` on.
template <int kPixels, class V>
HWY_INLINE void store_sums(const ConvLine& line, const V* sums, int64_t ox, int64_t c) {
  const hn::DFromV<V> d;
  // Stores of vectors might change what `line` refers to, for all the compiler knows.
  const BoundEpilogue& epilogue = *line.epilogue;
  const int64_t step = line.shape->dst_pixel;
  float* HWY_RESTRICT dst = line.dst + ox * step + c;
  V y[kPixels];
  HWY_UNROLL(32)
  for (int p = 0; p < kPixels; ++p) y[p] = sums[p];
  if (line.residual) {
    const int64_t residual_step = line.shape->residual_pixel;
    const float* HWY_RESTRICT residual = line.residual + ox * residual_step + c;
    HWY_UNROLL(32)
    for (int p = 0; p < kPixels; ++p) {
      y[p] = hn::Add(y[p], hn::LoadU(d, residual + p * residual_step));
    }
  }
  if (epilogue.is_bounded()) {
    const auto lo = hn::Set(d, epilogue.lo), hi = hn::Set(d, epilogue.hi);
    HWY_UNROLL(32)
    for (int p = 0; p < kPixels; ++p) {
      // x86's minimum and maximum are their second operand if one is NaN.
      y[p] = hn::Min(hi, hn::Max(lo, y[p]));
    }
  }
  HWY_UNROLL(32)
  for (int p = 0; p < kPixels; ++p, dst += step) hn::StoreU(y[p], d, dst);
}

/// What the sums of adjacent pixels begin with.
template <int kPixels, class V>
HWY_INLINE void begin_sums(const ConvLine& line, int64_t c, V* sums) {
  const V bias = hn::LoadU(hn::DFromV<V>(), line.epilogue->bias + c);
  HWY_UNROLL(32)
  for (int p = 0; p < kPixels; ++p) sums[p] = bias;
}

using LineTileFn = void (*)(const ConvLine&, const Rows&, int64_t);
template <class Tile, bool kInside, int... kPixels>
constexpr std::array<LineTileFn, sizeof...(kPixels)> line_tile_functions(
    std::integer_sequence<int, kPixels...>) {
  return {Tile::template run<kPixels + 1, kInside>...};
}

template <class Tile>
void run_tiles(const ConvLine& line, const Rows& rows) {
  constexpr auto kPixels = std::make_integer_sequence<int, Tile::kMostPixels>();
  static constexpr auto kInside = line_tile_functions<Tile, true>(kPixels);
  static constexpr auto kAtEdge = line_tile_functions<Tile, false>(kPixels);
  const IgemmAxis& x = line.shape->axis[2];
  const Parts tiles(x.out, Tile::kMostPixels);
  for (int64_t i = 0, begin = 0; i < tiles.count; begin += tiles.size(i++)) {
    const int64_t width = tiles.size(i), first = begin * x.stride + x.origin;
    const bool inside = first >= 0 && first + (width - 1) * x.stride + x.taps <= x.in;
    (inside ? kInside : kAtEdge)[static_cast<size_t>(width - 1)](line, rows, begin);
  }
}

/// Cuts the line into tiles of at most Tile::kMostPixels pixels. Tile::run<kPixels, kInside>(line,
/// rows, ox) computes the output pixels [ox, ox + kPixels), which see all columns if kInside.
template <class Tile>
void run_line_tiles(const ConvLine& line) {
  const Rows rows(line);
  const IgemmAxis& x = line.shape->axis[2];
  if (x.step == 1) {
    run_tiles<Tile>(line, rows);
    return;
  }
  for (int64_t first = 0; first < std::min(x.step, x.out); ++first) {
    const Comb comb(line, rows, first);
    run_tiles<Tile>(comb.line, comb.rows);
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_CONV_LINE_INL_H_
