// Lines of depthwise convolutions with 3 x 3 taps, whose weights stay in registers.

#include <algorithm>
#include <cstdint>

#include "engine/base/ceil_div.h"
#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_DEPTHWISE_LINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_DEPTHWISE_LINE_INL_H_
#undef PLICA_ENGINE_KERNELS_DEPTHWISE_LINE_INL_H_
#else
#define PLICA_ENGINE_KERNELS_DEPTHWISE_LINE_INL_H_
#endif

// Once for each target.
#include "engine/kernels/conv_line-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Pixels [begin, end) of a line, which see all of 3 columns.
struct Inside {
  int64_t begin, end;
  explicit Inside(const IgemmAxis& x) {
    begin = std::min(ceil_div(-x.origin, x.stride), x.out);
    end = std::clamp((x.in - 3 - x.origin + x.stride) / x.stride, begin, x.out);
  }
};

/// A vector of channels of lines that see kRows rows of 3 taps of the kernel. Weights are loaded
/// once for all lines, and a pixel takes little besides its products: so few instructions that the
/// processor works on many pixels at a time, which hides the latency of their sums.
template <class D, int kStride, int kRows>
class ThreeTapLines {
  using V = hn::Vec<D>;
  static constexpr int kTaps = 3;
  /// So many sums, the weights and an input fit into 16 registers.
  static constexpr int kPixels = 4;

 public:
  /// Channels from `c` on. `padded`: floats from the weights of one tap to those of the next.
  HWY_INLINE ThreeTapLines(const ConvLine& lines, const Rows& rows, int64_t padded, int64_t c)
      : pixel_(lines.shape->src_pixel),
        row_(rows.row),
        dst_pixel_(lines.shape->dst_pixel),
        bounded_(lines.epilogue->is_bounded()),
        lo_(hn::Set(D(), lines.epilogue->lo)),
        hi_(hn::Set(D(), lines.epilogue->hi)),
        bias_(hn::LoadU(D(), lines.epilogue->bias + c)) {
    const float* w = lines.packed + rows.taps.first * kTaps * padded + c;
    HWY_UNROLL(32)
    for (int y = 0; y < kRows; ++y) {
      HWY_UNROLL(32)
      for (int t = 0; t < kTaps; ++t, w += padded) weight_[y][t] = hn::LoadU(D(), w);
    }
  }

  /// Pixels [first, last) from `src`, the first of the rows at column 0, to `dst`, pixel 0.
  HWY_INLINE void run(const IgemmAxis& x, const Inside& inside, int64_t first, int64_t last,
                      const float* src, float* dst) const {
    const int64_t step = kStride * pixel_;
    const float* at = src + x.origin * pixel_ + first * step;
    dst += first * dst_pixel_;
    const int64_t begin = std::min(inside.begin, last), end = std::min(inside.end, last);
    int64_t ox = first;
    for (; ox < begin; ++ox, at += step, dst += dst_pixel_) {
      run_edge(at, ox * kStride + x.origin, x.in, dst);
    }
    for (; ox + kPixels <= end; ox += kPixels, at += kPixels * step, dst += kPixels * dst_pixel_) {
      run_pixels(at, dst);
    }
    for (; ox < end; ++ox, at += step, dst += dst_pixel_) run_taps<0, kTaps>(at, dst);
    for (; ox < last; ++ox, at += step, dst += dst_pixel_) {
      run_edge(at, ox * kStride + x.origin, x.in, dst);
    }
  }

 private:
  /// Adjacent pixels, the first of which sees columns from `at` on.
  HWY_INLINE void run_pixels(const float* at, float* dst) const {
    constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
    V sum[kPixels];
    HWY_UNROLL(32)
    for (int p = 0; p < kPixels; ++p) sum[p] = bias_;
    HWY_UNROLL(32)
    for (int y = 0; y < kRows; ++y, at += row_) {
      const float* from = at;
      HWY_UNROLL(32)
      for (int i = 0; i < kColumns; ++i, from += pixel_) {
        V value = hn::LoadU(D(), from);
        keep_in_register(value);
        add_column<kPixels, kTaps, kStride>(i, value, weight_[y], sum);
      }
    }
    HWY_UNROLL(32)
    for (int p = 0; p < kPixels; ++p, dst += dst_pixel_) store(sum[p], dst);
  }

  /// A pixel that sees columns from `at` on by taps [kFirst, kLast).
  template <int kFirst, int kLast>
  HWY_INLINE void run_taps(const float* at, float* dst) const {
    V sum = bias_;
    HWY_UNROLL(32)
    for (int y = 0; y < kRows; ++y, at += row_) {
      HWY_UNROLL(32)
      for (int t = kFirst; t < kLast; ++t) {
        sum = hn::MulAdd(hn::LoadU(D(), at + t * pixel_), weight_[y][t], sum);
      }
    }
    store(sum, dst);
  }

  /// A pixel some of whose `width` columns, the first of which is `first`, are outside.
  HWY_INLINE void run_edge(const float* at, int64_t first, int64_t width, float* dst) const {
    const int64_t last = width - first;
    if (first == -1 && last >= 3) return run_taps<1, 3>(at, dst);
    if (first >= 0 && last == 2) return run_taps<0, 2>(at, dst);
    if (first == -1) return run_taps<1, 2>(at, dst);
    if (first == -2) return run_taps<2, 3>(at, dst);
    run_taps<0, 1>(at, dst);
  }

  HWY_INLINE void store(V sum, float* dst) const {
    // x86's minimum and maximum are their second operand if one is NaN.
    if (bounded_) sum = hn::Min(hi_, hn::Max(lo_, sum));
    hn::StoreU(sum, D(), dst);
  }

  int64_t pixel_, row_, dst_pixel_;
  bool bounded_;
  V lo_, hi_, bias_, weight_[kRows][kTaps];
};

/// All channels, by vectors; the last one overlaps the one before it, and computes the channels
/// that they have in common once more. Each of the lines sees kRows rows.
template <class D, int kStride, int kRows>
HWY_NOINLINE void run_three_taps(const ConvLine& lines, const Rows& rows, int64_t padded) {
  // Of as many pixels, what a vector of channels reads for a line is in the first level of the
  // cache for the line below it, even where pixels lie a power of two apart and so in few of its
  // sets.
  constexpr int64_t kStrip = 24;
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  const IgemmShape& s = *lines.shape;
  const IgemmAxis x = s.axis[2];
  const Inside inside(x);
  const int64_t last_c = lines.end - lanes, count = lines.count;
  const int64_t src_step = s.axis[1].stride * x.in * s.src_pixel,
                dst_step = lines.step(s.dst_pixel);
  for (int64_t first = 0, last; first < x.out; first = last) {
    last = std::max(first, inside.begin) + kStrip;
    if (last + kStrip / 2 > x.out) last = x.out;
    for (int64_t channel = lines.begin; channel < lines.end; channel += lanes) {
      const int64_t c = std::min(channel, last_c);
      const ThreeTapLines<D, kStride, kRows> line(lines, rows, padded, c);
      const float* src = rows.src + c;
      float* dst = lines.dst + c;
      for (int64_t i = 0; i < count; ++i, src += src_step, dst += dst_step) {
        line.run(x, inside, first, last, src, dst);
      }
    }
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_DEPTHWISE_LINE_INL_H_
