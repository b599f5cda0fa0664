#include "engine/kernels/narrow_conv.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/narrow_conv.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// Sums of a tile: as many as a vector has lanes, so that one vector has their totals. They need
/// half of the registers; the rest is for inputs and weights.
constexpr int kSums = static_cast<int>(hn::MaxLanes(D()));
/// With more output channels, a matrix product fills its vectors well enough.
constexpr int kMostColumns = kSums / 2;

/// Weights of a row of taps that are kept in registers for one vector of channels, and output
/// channels for which that saves loads.
constexpr int kMostRowWeights = 9, kMostRowColumns = 2;

int64_t lanes() { return kSums; }
int64_t vectors(const IgemmShape& s) { return ceil_div<int64_t>(s.ic, kSums); }

/// Adds the lanes of each of kSums vectors: the i-th total to lane i.
HWY_INLINE V totals(const V* sums) {
  const D d;
  const hn::Repartition<uint64_t, D> pairs;
  const auto add_halves = [&](V a, V b) {  // of blocks: [a0 + a2, b0 + b2, a1 + a3, b1 + b3]
    return hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  };
  const auto add_pairs = [&](V a, V b) {  // of blocks: [a01 + a23, b01 + b23]
    const auto x = hn::BitCast(pairs, a), y = hn::BitCast(pairs, b);
    return hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, x, y)),
                   hn::BitCast(d, hn::InterleaveUpper(pairs, x, y)));
  };
  // Totals of the blocks of four vectors each.
  V four[kSums / 4];
  HWY_UNROLL(4)
  for (int i = 0; i < kSums / 4; ++i) {
    const V* s = sums + 4 * i;
    four[i] = add_pairs(add_halves(s[0], s[1]), add_halves(s[2], s[3]));
  }
#if HWY_TARGET <= HWY_AVX3
  const auto add_sides = [&](V a, V b) {  // [a0 + a2, a1 + a3, b0 + b2, b1 + b3]
    return hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
  };
  const V even = add_sides(four[0], four[2]), odd = add_sides(four[1], four[3]);
  return hn::OddEvenBlocks(hn::Add(odd, hn::SwapAdjacentBlocks(odd)),
                           hn::Add(even, hn::SwapAdjacentBlocks(even)));
#elif HWY_TARGET <= HWY_AVX2
  return hn::Add(hn::ConcatLowerLower(d, four[1], four[0]),
                 hn::ConcatUpperUpper(d, four[1], four[0]));
#else
  return four[0];
#endif
}

/// Writes the totals of kPixels pixels from `ox` on.
template <int kPixels, int kColumns>
HWY_INLINE void store_totals(const ConvLine& line, int64_t ox, V sum) {
  const D d;
  const IgemmShape& s = *line.shape;
  const int64_t step = s.axis[2].dst_step;
  constexpr size_t kCount = kPixels * kColumns;
  const bool dense = step == 1 && s.dst_pixel == kColumns;
  HWY_ALIGN float values[kSums];
  sum = hn::Add(sum, hn::Load(d, line.epilogue->bias));
  if (line.residual) {
    HWY_ALIGN float residual[kSums] = {};
    for (int p = 0; p < kPixels; ++p) {
      const float* from = line.residual + (ox + p) * step * s.residual_pixel;
      for (int o = 0; o < kColumns; ++o) residual[p * kColumns + o] = from[o];
    }
    sum = hn::Add(sum, hn::Load(d, residual));
  }
  // x86's minimum and maximum are their second operand if one is NaN.
  sum = hn::Min(hn::Set(d, line.epilogue->hi), hn::Max(hn::Set(d, line.epilogue->lo), sum));
  if (dense) {
    hn::StoreN(sum, d, line.dst + ox * kColumns, kCount);
    return;
  }
  hn::Store(sum, d, values);
  for (int p = 0; p < kPixels; ++p) {
    float* to = line.dst + (ox + p) * step * s.dst_pixel;
    for (int o = 0; o < kColumns; ++o) to[o] = values[p * kColumns + o];
  }
}

/// Adds the products of one vector of channels for all pixels and columns.
template <int kPixels, int kColumns, bool kPartial>
HWY_INLINE void add_products(const float* from, int64_t pixel, const float* w, size_t count,
                             V* sums) {
  const D d;
  V weight[kColumns];
  HWY_UNROLL(32)
  for (int o = 0; o < kColumns; ++o) weight[o] = hn::Load(d, w + o * kSums);
  HWY_UNROLL(32)
  for (int p = 0; p < kPixels; ++p, from += pixel) {
    const V x = kPartial ? hn::LoadN(d, from, count) : hn::LoadU(d, from);
    HWY_UNROLL(32)
    for (int o = 0; o < kColumns; ++o) {
      sums[p * kColumns + o] = hn::MulAdd(x, weight[o], sums[p * kColumns + o]);
    }
  }
}

/// The same for a row of kTaps taps side by side: each input is loaded once for all pixels that see
/// it.
template <int kPixels, int kColumns, int kTaps, bool kPartial>
HWY_INLINE void add_row_products(const float* from, int64_t pixel, const float* w, size_t count,
                                 V* sums) {
  const D d;
  V weight[kTaps * kColumns];
  HWY_UNROLL(32)
  for (int i = 0; i < kTaps * kColumns; ++i) weight[i] = hn::Load(d, w + i * kSums);
  HWY_UNROLL(32)
  for (int i = 0; i < kPixels + kTaps - 1; ++i, from += pixel) {
    const V x = kPartial ? hn::LoadN(d, from, count) : hn::LoadU(d, from);
    HWY_UNROLL(32)
    for (int t = 0; t < kTaps; ++t) {
      const int p = i - t;
      if (p < 0 || p >= kPixels) continue;
      HWY_UNROLL(32)
      for (int o = 0; o < kColumns; ++o) {
        V& sum = sums[p * kColumns + o];
        sum = hn::MulAdd(x, weight[t * kColumns + o], sum);
      }
    }
  }
}

/// Output pixels [ox, ox + kPixels), which all see the taps [t0, t1) of axis 2; if kTaps is not 0,
/// these are all kTaps, side by side.
template <int kPixels, int kColumns, int kTaps>
HWY_NOINLINE void run_pixels(const ConvLine& line, int64_t ox, int64_t t0, int64_t t1) {
  const D d;
  const IgemmShape& s = *line.shape;
  const auto& [z, y, x] = s.axis;
  const int64_t pixel = x.stride * s.src_pixel;
  const int64_t chunks = vectors(s), chunk_floats = x.taps * kColumns * kSums;
  const int64_t whole = s.ic / kSums;
  const auto left = static_cast<size_t>(s.ic % kSums);
  const float* src = line.src + (ox * x.stride + x.origin + t0 * x.step) * s.src_pixel;
  const TapRange planes = taps_inside(z, line.z0), rows = taps_inside(y, line.y0);
  V sums[kSums];
  HWY_UNROLL(32)
  for (int i = 0; i < kSums; ++i) sums[i] = hn::Zero(d);
  for (int64_t tz = planes.first; tz < planes.last; ++tz) {
    const int64_t iz = line.z0 + tz * z.step;
    for (int64_t ty = rows.first; ty < rows.last; ++ty) {
      const int64_t iy = line.y0 + ty * y.step;
      const float* tap = src + (iz * y.in + iy) * x.in * s.src_pixel;
      const float* w = line.packed + (tz * y.taps + ty) * chunks * chunk_floats;
      for (int64_t i = 0; i < chunks; ++i, tap += kSums, w += chunk_floats) {
        if constexpr (kTaps > 0) {
          if (i < whole) {
            add_row_products<kPixels, kColumns, kTaps, false>(tap, pixel, w, 0, sums);
          } else {
            add_row_products<kPixels, kColumns, kTaps, true>(tap, pixel, w, left, sums);
          }
          continue;
        }
        for (int64_t t = t0; t < t1; ++t) {
          const float* from = tap + (t - t0) * x.step * s.src_pixel;
          const float* weights = w + t * kColumns * kSums;
          if (i < whole) {
            add_products<kPixels, kColumns, false>(from, pixel, weights, 0, sums);
          } else {
            add_products<kPixels, kColumns, true>(from, pixel, weights, left, sums);
          }
        }
      }
    }
  }
  store_totals<kPixels, kColumns>(line, ox, totals(sums));
}

/// A pixel that does not see all taps of axis 2.
template <int kColumns>
void run_edge(const ConvLine& line, int64_t ox) {
  const IgemmAxis& x = line.shape->axis[2];
  const TapRange taps = taps_inside(x, ox * x.stride + x.origin);
  run_pixels<1, kColumns, 0>(line, ox, taps.first, taps.last);
}

template <int kColumns, int kTaps>
void run_pixels_of_line(const ConvLine& line) {
  constexpr int kPixels = kSums / kColumns;
  const IgemmAxis& x = line.shape->axis[2];
  // Pixels [begin, end) see all taps.
  const int64_t begin = x.origin >= 0 ? 0 : std::min(ceil_div(-x.origin, x.stride), x.out);
  const int64_t room = x.in - x.origin - (x.taps - 1) * x.step;
  const int64_t end = room <= 0 ? begin : std::clamp(ceil_div(room, x.stride), begin, x.out);
  for (int64_t ox = 0; ox < x.out;) {
    if (ox < begin || ox >= end || end - begin < kPixels) {
      run_edge<kColumns>(line, ox++);
      continue;
    }
    // The last tile computes pixels of the one before it once more.
    ox = std::min(ox, end - kPixels);
    run_pixels<kPixels, kColumns, kTaps>(line, ox, 0, x.taps);
    ox += kPixels;
  }
}

/// Whether each input is loaded once for a row of taps.
bool by_rows(const IgemmShape& s) {
  const IgemmAxis& x = s.axis[2];
  const bool beside = x.stride == 1 && x.step == 1 && x.taps > 1;
  return beside && s.oc <= kMostRowColumns && s.oc * x.taps <= kMostRowWeights;
}

template <int kColumns, int... kTaps>
constexpr std::array<ConvLineFn, sizeof...(kTaps)> row_functions(
    std::integer_sequence<int, kTaps...>) {
  return {run_pixels_of_line<kColumns, kTaps + 1>...};
}

template <int kColumns>
void run_line(const ConvLine& line) {
  if constexpr (kColumns <= kMostRowColumns) {
    static constexpr auto kFunctions =
        row_functions<kColumns>(std::make_integer_sequence<int, kMostRowWeights / kColumns>());
    const IgemmShape& s = *line.shape;
    if (by_rows(s)) return kFunctions[static_cast<size_t>(s.axis[2].taps - 1)](line);
  }
  run_pixels_of_line<kColumns, 0>(line);
}

template <int... kColumns>
constexpr std::array<ConvLineFn, sizeof...(kColumns)> line_functions(
    std::integer_sequence<int, kColumns...>) {
  return {run_line<kColumns + 1>...};
}

ConvLineFn function(const IgemmShape& s) {
  static constexpr auto kFunctions =
      line_functions(std::make_integer_sequence<int, kMostColumns>());
  return kFunctions[static_cast<size_t>(s.oc - 1)];
}

bool fits(const IgemmShape& s) {
  return s.groups == 1 && s.oc > 0 && s.oc <= kMostColumns && s.axis[2].out >= kSums;
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(lanes);
HWY_EXPORT(vectors);
HWY_EXPORT(fits);
HWY_EXPORT(by_rows);
HWY_EXPORT(function);

bool narrow_fits(const IgemmShape& shape) { return HWY_DYNAMIC_DISPATCH(fits)(shape); }

double narrow_cost(const IgemmShape& shape) {
  // Of loads, which are nearly as many as multiplications; and of adding up a vector's lanes, in
  // multiplications of vectors.
  constexpr double kLoads = 1.4, kAdd = 6;
  const double each = static_cast<double>(shape.taps() * HWY_DYNAMIC_DISPATCH(vectors)(shape));
  return static_cast<double>(shape.rows() * shape.oc * HWY_DYNAMIC_DISPATCH(lanes)()) *
         ((HWY_DYNAMIC_DISPATCH(by_rows)(shape) ? 1 : kLoads) * each + kAdd);
}

size_t narrow_packed_size(const IgemmShape& shape) {
  return static_cast<size_t>(shape.taps() * HWY_DYNAMIC_DISPATCH(vectors)(shape) * shape.oc *
                             HWY_DYNAMIC_DISPATCH(lanes)());
}

size_t narrow_bias_size(const IgemmShape&) {
  return static_cast<size_t>(HWY_DYNAMIC_DISPATCH(lanes)());
}

void narrow_pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
                 float* packed) {
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(lanes)();
  const int64_t vectors = HWY_DYNAMIC_DISPATCH(vectors)(shape);
  const int64_t row_taps = shape.axis[2].taps;
  for (int64_t o = 0; o < columns.count; ++o) {
    for (int64_t tap = 0; tap < shape.taps(); ++tap) {
      const float* from = weights.data + o * weights.oc_stride + weights.tap_offset[tap];
      for (int64_t c = 0; c < shape.ic; ++c) {
        const int64_t row = tap / row_taps * vectors + c / lanes;
        const int64_t at = (row * row_taps + tap % row_taps) * shape.oc + columns.first + o;
        packed[at * lanes + c % lanes] = from[c * weights.ic_stride];
      }
    }
  }
}

void narrow_pack_bias(const IgemmShape& shape, const float* bias, float* packed) {
  const auto count = static_cast<int64_t>(narrow_bias_size(shape)) / shape.oc * shape.oc;
  for (int64_t i = 0; i < count; ++i) packed[i] = bias[i % shape.oc];
}

ConvLineFn narrow_function(const IgemmShape& shape) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(function)(shape);
}

}  // namespace plica
#endif  // HWY_ONCE
