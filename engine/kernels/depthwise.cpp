#include "engine/kernels/depthwise.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/kernels/dispatch.h"
#include "engine/kernels/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/depthwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Line = DepthwiseLine;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// Output pixels [ox, ox + kPixels), which all see the taps [t0, t1) of axis 2.
template <int kPixels>
void run_pixels(const Line& line, int64_t ox, int64_t t0, int64_t t1) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const IgemmShape& s = *line.shape;
  const auto& [z, y, x] = s.axis;
  const int64_t channels = line.end;
  const int64_t src_step = x.stride * s.src_pixel;
  const int64_t dst_step = x.dst_step * s.dst_pixel;
  const int64_t residual_step = x.dst_step * s.residual_pixel;
  const float* src = line.src + (ox * x.stride + x.origin) * s.src_pixel;
  const V lo = hn::Set(d, line.epilogue->lo), hi = hn::Set(d, line.epilogue->hi);
  for (int64_t c = line.begin; c < channels; c += lanes) {
    const auto left = static_cast<size_t>(channels - c);
    const bool whole = channels - c >= lanes;
    V sum[kPixels];
    for (int p = 0; p < kPixels; ++p) sum[p] = hn::Zero(d);
    for (int64_t tz = 0; tz < z.taps; ++tz) {
      const int64_t iz = line.z0 + tz * z.step;
      if (iz < 0 || iz >= z.in) continue;
      for (int64_t ty = 0; ty < y.taps; ++ty) {
        const int64_t iy = line.y0 + ty * y.step;
        if (iy < 0 || iy >= y.in) continue;
        const float* from = src + ((iz * y.in + iy) * x.in + t0 * x.step) * s.src_pixel + c;
        const float* w = line.packed + ((tz * y.taps + ty) * x.taps + t0) * line.padded + c;
        for (int64_t t = t0; t < t1; ++t, from += x.step * s.src_pixel, w += line.padded) {
          const V weight = hn::Load(d, w);
          for (int p = 0; p < kPixels; ++p) {
            const float* at = from + p * src_step;
            const V value = whole ? hn::LoadU(d, at) : hn::LoadN(d, at, left);
            sum[p] = hn::MulAdd(value, weight, sum[p]);
          }
        }
      }
    }
    const V bias = hn::Load(d, line.epilogue->bias + c);
    for (int p = 0; p < kPixels; ++p) {
      V value = hn::Add(sum[p], bias);
      if (line.residual) {
        const float* at = line.residual + (ox + p) * residual_step + c;
        value = hn::Add(value, whole ? hn::LoadU(d, at) : hn::LoadN(d, at, left));
      }
      // x86's minimum and maximum are their second operand if one is NaN.
      value = hn::Min(hi, hn::Max(lo, value));
      float* to = line.dst + (ox + p) * dst_step + c;
      if (whole) {
        hn::StoreU(value, d, to);
      } else {
        hn::StoreN(value, d, to, left);
      }
    }
  }
}

void run_line(const Line& line) {
  constexpr int kPixels = 4;
  const IgemmShape& s = *line.shape;
  const IgemmAxis& x = s.axis[2];
  for (int64_t ox = 0; ox < x.out;) {
    const auto inside = [&](int64_t o) {
      const int64_t first = o * x.stride + x.origin;
      return first >= 0 && first + (x.taps - 1) * x.step < x.in;
    };
    if (ox + kPixels <= x.out && inside(ox) && inside(ox + kPixels - 1)) {
      run_pixels<kPixels>(line, ox, 0, x.taps);
      ox += kPixels;
      continue;
    }
    const int64_t first = ox * x.stride + x.origin;
    int64_t t0 = 0, t1 = x.taps;
    while (t0 < t1 && first + t0 * x.step < 0) ++t0;
    while (t1 > t0 && first + (t1 - 1) * x.step >= x.in) --t1;
    run_pixels<1>(line, ox, t0, t1);
    ++ox;
  }
}

/// Taps [y0, y1) of axis 1 are inside for this line.
struct Rows {
  int64_t y0, y1;
  int64_t row;       // floats of a row of input
  const float* src;  // of input row y0 at column 0
  const float* w;    // of tap (y0, 0)
};

HWY_INLINE void store_sum(const Line& line, V sum, V bias, V lo, V hi, int64_t ox, int64_t c) {
  const D d;
  V value = hn::Add(sum, bias);
  if (line.residual) {
    value = hn::Add(value, hn::LoadU(d, line.residual + ox * line.shape->residual_pixel + c));
  }
  hn::StoreU(hn::Min(hi, hn::Max(lo, value)), d, line.dst + ox * line.shape->dst_pixel + c);
}

/// What kernels of these taps and strides do.
template <int kOfTaps, int kOfStride, bool kOfGroups>
struct Form {
  static constexpr int kTaps = kOfTaps, kStride = kOfStride;
  /// Groups have several channels, powers of two that divide a vector.
  static constexpr bool kGrouped = kOfGroups;
};

/// kVecs vectors of channels from `c` on of output pixels [ox, ox + kPixels). kInside: those see
/// all columns.
template <class F, int kPixels, bool kInside, int kVecs>
HWY_INLINE void run_vectors(const Line& line, const Rows& rows, int64_t ox, int64_t c) {
  const D d;
  const hn::RebindToSigned<D> di;
  constexpr int kTaps = F::kTaps, kStride = F::kStride;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const IgemmShape& s = *line.shape;
  const int64_t inputs = F::kGrouped ? s.ic : 1;
  // The first channel of each lane's group.
  const auto group = hn::And(hn::Iota(di, 0), hn::Set(di, static_cast<int32_t>(-inputs)));
  constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
  const auto padded = static_cast<int64_t>(line.padded);
  const int64_t pixel = s.src_pixel;
  const int64_t first = ox * kStride + s.axis[2].origin;
  // Columns [begin, end) are inside. Each pixel sees at least one that is.
  const auto begin = static_cast<int>(std::max<int64_t>(-first, 0));
  const auto end = static_cast<int>(std::min<int64_t>(s.axis[2].in - first, kColumns));
  V sum[kPixels][kVecs];
  HWY_UNROLL(32)
  for (int p = 0; p < kPixels; ++p) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) sum[p][v] = hn::Zero(d);
  }
  const float* from = rows.src + first * pixel + c;
  const float* w = rows.w + c;
  for (int64_t y = rows.y0; y < rows.y1; ++y, from += rows.row) {
    // Channel `input` of each group meets its output channels; the taps' weights are
    // [inputs][padded].
    for (int64_t input = 0; input < inputs; ++input, w += padded) {
      const auto order =
          hn::IndicesFromVec(d, hn::Add(group, hn::Set(di, static_cast<int32_t>(input))));
      V weight[kTaps][kVecs];
      HWY_UNROLL(32)
      for (int t = 0; t < kTaps; ++t) {
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) {
          weight[t][v] = hn::LoadU(d, w + t * inputs * padded + v * lanes);
        }
      }
      const float* at = from;
      // Each input is loaded once for all pixels.
      HWY_UNROLL(32)
      for (int i = 0; i < kColumns; ++i, at += pixel) {
        if (!kInside && i < kTaps - 1 && i < begin) continue;
        if (!kInside && i > kColumns - kTaps && i >= end) continue;
        V value[kVecs];
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) {
          value[v] = hn::LoadU(d, at + v * lanes);
          if (F::kGrouped) value[v] = hn::TableLookupLanes(value[v], order);
          // The next vectors of channels; the processor does not foresee so many pixels.
          if (y + 1 == rows.y1 && input == 0) {
            __builtin_prefetch(at + (kVecs + v) * lanes, 0, 3);
          }
        }
        HWY_UNROLL(32)
        for (int t = 0; t < kTaps; ++t) {
          const int offset = i - t, p = offset / kStride;
          if (offset < 0 || offset % kStride != 0 || p >= kPixels) continue;
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) sum[p][v] = hn::MulAdd(value[v], weight[t][v], sum[p][v]);
        }
      }
    }
    w += (kTaps - 1) * inputs * padded;
  }
  const V lo = hn::Set(d, line.epilogue->lo), hi = hn::Set(d, line.epilogue->hi);
  HWY_UNROLL(32)
  for (int v = 0; v < kVecs; ++v) {
    const V bias = hn::LoadU(d, line.epilogue->bias + c + v * lanes);
    HWY_UNROLL(32)
    for (int p = 0; p < kPixels; ++p) {
      store_sum(line, sum[p][v], bias, lo, hi, ox + p, c + v * lanes);
    }
  }
}

/// Output pixels [ox, ox + kPixels), kVecs vectors of channels at a time. The last ones overlap
/// those before them, and compute the channels that they have in common once more.
template <class F, int kPixels, bool kInside, int kVecs>
HWY_INLINE void run_all_vectors(const Line& line, const Rows& rows, int64_t ox) {
  const auto step = kVecs * static_cast<int64_t>(hn::Lanes(D()));
  const int64_t last = line.end - step;
  for (int64_t c = line.begin; c < last; c += step) {
    run_vectors<F, kPixels, kInside, kVecs>(line, rows, ox, c);
  }
  run_vectors<F, kPixels, kInside, kVecs>(line, rows, ox, last);
}

/// Of at least a vector of channels.
template <class F, int kPixels, bool kInside>
HWY_NOINLINE void run_inner(const Line& line, const Rows& rows, int64_t ox) {
  // Neighbouring columns add to the same sums. Those of one vector of channels are too few to hide
  // the latency of an addition.
  constexpr int kVecs = HWY_TARGET <= HWY_AVX3 && F::kTaps <= 5 ? 2 : 1;
  if (line.end - line.begin >= kVecs * static_cast<int64_t>(hn::Lanes(D()))) {
    run_all_vectors<F, kPixels, kInside, kVecs>(line, rows, ox);
  } else {
    run_all_vectors<F, kPixels, kInside, 1>(line, rows, ox);
  }
}

/// So many sums, the weights of a row of the kernel and an input fit into 16 registers; the widths
/// of most images are multiples of 7.
constexpr int kMostPixels = 7;

using InnerFn = void (*)(const Line&, const Rows&, int64_t);
template <class F, bool kInside, int... kPixels>
constexpr std::array<InnerFn, sizeof...(kPixels)> inner_functions(
    std::integer_sequence<int, kPixels...>) {
  return {run_inner<F, kPixels + 1, kInside>...};
}

template <class F>
void run_whole_vectors(const Line& line, const Rows& rows) {
  constexpr auto kPixels = std::make_integer_sequence<int, kMostPixels>();
  static constexpr auto kInside = inner_functions<F, true>(kPixels);
  static constexpr auto kAtEdge = inner_functions<F, false>(kPixels);
  const IgemmAxis& x = line.shape->axis[2];
  const Parts tiles(x.out, kMostPixels);
  for (int64_t i = 0, begin = 0; i < tiles.count; begin += tiles.size(i++)) {
    const int64_t width = tiles.size(i), first = begin * F::kStride + x.origin;
    const bool inside = first >= 0 && first + (width - 1) * F::kStride + F::kTaps <= x.in;
    (inside ? kInside : kAtEdge)[static_cast<size_t>(width - 1)](line, rows, begin);
  }
}

using WholeVectorsFn = void (*)(const Line&, const Rows&);

/// The function for the usual kernels in two dimensions, or null.
WholeVectorsFn whole_vectors_function(const IgemmShape& s) {
  const auto& [z, y, x] = s.axis;
  if (z != IgemmAxis() || y.step != 1 || x.step != 1 || x.dst_step != 1 || x.origin > 0) {
    return nullptr;
  }
  // Each pixel has to see a column that is inside.
  const int64_t last = (x.out - 1) * x.stride + x.origin;
  if (x.origin <= -x.taps || last >= x.in) return nullptr;
  if (s.ic > 1) {
    if (x.taps == 3 && x.stride == 1) return run_whole_vectors<Form<3, 1, true>>;
    if (x.taps == 3 && x.stride == 2) return run_whole_vectors<Form<3, 2, true>>;
    return nullptr;
  }
  if (x.taps == 3 && x.stride == 1) return run_whole_vectors<Form<3, 1, false>>;
  if (x.taps == 3 && x.stride == 2) return run_whole_vectors<Form<3, 2, false>>;
  if (x.taps == 5 && x.stride == 1) return run_whole_vectors<Form<5, 1, false>>;
  if (x.taps == 5 && x.stride == 2) return run_whole_vectors<Form<5, 2, false>>;
  if (x.taps == 7 && x.stride == 1) return run_whole_vectors<Form<7, 1, false>>;
  return nullptr;
}

/// Whether groups of several channels are computed here. What run_line() would have to do is left
/// to others, as is SSE2, which cannot permute lanes.
bool grouped_fits(const IgemmShape& s) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  for (const IgemmAxis& axis : s.axis) {
    if (axis.dst_step != 1) return false;
  }
  return HWY_TARGET <= HWY_SSE4 && s.ic == s.oc && lanes % s.ic == 0 &&
         depthwise_channels(s) >= lanes && whole_vectors_function(s);
}

/// Channels [line.begin, line.end), of which the first is that of a whole vector.
void run_channels(const Line& line) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  const IgemmShape& s = *line.shape;
  const WholeVectorsFn function = whole_vectors_function(s);
  if (!function || line.end - line.begin < lanes) {
    run_line(line);
    return;
  }
  const IgemmAxis& y = s.axis[1];
  Rows rows;
  rows.y0 = std::clamp<int64_t>(-line.y0, 0, y.taps);
  rows.y1 = std::clamp<int64_t>(y.in - line.y0, rows.y0, y.taps);
  rows.row = s.axis[2].in * s.src_pixel;
  rows.src = line.src + (line.y0 + rows.y0) * rows.row;
  rows.w = line.packed + rows.y0 * s.axis[2].taps * s.ic * static_cast<int64_t>(line.padded);
  function(line, rows);
}

size_t lanes() { return hn::Lanes(D()); }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(run_channels);
HWY_EXPORT(lanes);
HWY_EXPORT(grouped_fits);

bool depthwise_fits(const IgemmShape& shape) {
  if (shape.groups <= 1 || shape.ic != shape.oc) return false;
  return shape.ic == 1 || HWY_DYNAMIC_DISPATCH(grouped_fits)(shape);
}

size_t depthwise_padded_channels(const IgemmShape& shape) {
  const size_t n = HWY_DYNAMIC_DISPATCH(lanes)();
  return (static_cast<size_t>(depthwise_channels(shape)) + n - 1) / n * n;
}

void depthwise_pack(const IgemmShape& shape, const IgemmWeights& weights,
                    const IgemmColumns& columns, float* packed) {
  const auto padded = static_cast<int64_t>(depthwise_padded_channels(shape));
  for (int64_t tap = 0; tap < shape.taps(); ++tap) {
    for (int64_t c = 0; c < shape.ic; ++c) {
      const float* from = weights.data + weights.tap_offset[tap] + c * weights.ic_stride;
      float* to = packed + (tap * shape.ic + c) * padded + columns.group * shape.oc + columns.first;
      for (int64_t i = 0; i < columns.count; ++i) to[i] = from[i * weights.oc_stride];
    }
  }
}

DepthwiseFn depthwise_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(run_channels);
}

}  // namespace plica
#endif  // HWY_ONCE
