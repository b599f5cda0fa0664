// What becomes of output planes, whose lanes are pixels: they are pooled, and channels are put next
// to each other.

#include <algorithm>
#include <cstdint>

#include "engine/base/ceil_div.h"
#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_ROW_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_ROW_PLANES_INL_H_
#undef PLICA_ENGINE_KERNELS_ROW_PLANES_INL_H_
#else
#define PLICA_ENGINE_KERNELS_ROW_PLANES_INL_H_
#endif

#include "engine/kernels/row_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// planes[c * plane + i] to dst[i * dst_pixel + c] for some pixels i. Planes are there for whole
/// quads of channels; what is stored behind a pixel's last channel is the next pixel's, stored
/// later, unless `gaps` between pixels are kept or it is the last one of a row's `end`.
template <int kQuads>
HWY_INLINE void interleave_some(const float* planes, int64_t plane, int64_t channels, bool gaps,
                                bool end, float* dst, int64_t dst_pixel) {
  const hn::CappedTag<float, 8> d;
  const hn::FixedTag<float, 4> d4;
  // [i][q]: pixels i and, if there are blocks of 128 bits, 4 + i of a quad.
  hn::Vec<decltype(d)> pixel[4][kQuads];
  HWY_UNROLL(4)
  for (int q = 0; q < kQuads; ++q) {
    const float* from = planes + 4 * q * plane;
    const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + plane);
    const auto r2 = hn::LoadU(d, from + 2 * plane), r3 = hn::LoadU(d, from + 3 * plane);
    const auto even_low = hn::InterleaveLower(d, r0, r2), odd_low = hn::InterleaveLower(d, r1, r3);
    const auto even_high = hn::InterleaveUpper(d, r0, r2);
    const auto odd_high = hn::InterleaveUpper(d, r1, r3);
    pixel[0][q] = hn::InterleaveLower(d, even_low, odd_low);
    pixel[1][q] = hn::InterleaveUpper(d, even_low, odd_low);
    pixel[2][q] = hn::InterleaveLower(d, even_high, odd_high);
    pixel[3][q] = hn::InterleaveUpper(d, even_high, odd_high);
  }
  constexpr int kBlocks = static_cast<int>(hn::MaxLanes(d)) / 4;
  const auto store_last = [&](auto tag, auto v, int c, bool last) HWY_ATTR {
    const int64_t left = channels - c;
    if (left >= static_cast<int64_t>(hn::MaxLanes(tag)) || !(last || gaps)) {
      hn::StoreU(v, tag, dst + c);
    } else {
      hn::StoreN(v, tag, dst + c, static_cast<size_t>(left));
    }
  };
  HWY_UNROLL(2)
  for (int block = 0; block < kBlocks; ++block) {
    HWY_UNROLL(4)
    for (int i = 0; i < 4; ++i, dst += dst_pixel) {
      const bool last = end && block + 1 == kBlocks && i == 3;
      if constexpr (kBlocks == 1) {
        HWY_UNROLL(4)
        for (int q = 0; q + 1 < kQuads; ++q) hn::StoreU(pixel[i][q], d4, dst + 4 * q);
        store_last(d4, pixel[i][kQuads - 1], 4 * kQuads - 4, last);
      } else {
        HWY_UNROLL(2)
        for (int q = 0; q + 1 < kQuads; q += 2) {
          const auto v = block == 0 ? hn::ConcatLowerLower(d, pixel[i][q + 1], pixel[i][q])
                                    : hn::ConcatUpperUpper(d, pixel[i][q + 1], pixel[i][q]);
          if (q + 2 < kQuads) {
            hn::StoreU(v, d, dst + 4 * q);
          } else {
            store_last(d, v, 4 * q, last);
          }
        }
        if constexpr (kQuads % 2 == 1) {
          const auto v = pixel[i][kQuads - 1];
          const auto half = block == 0 ? hn::LowerHalf(d4, v) : hn::UpperHalf(d4, v);
          store_last(d4, half, 4 * kQuads - 4, last);
        }
      }
    }
  }
}

/// The same for a row of pixels.
template <int kQuads>
void interleave(const float* planes, int64_t plane, int64_t channels, int64_t pixels, float* dst,
                int64_t dst_pixel) {
  constexpr auto kPixels = static_cast<int64_t>(hn::MaxLanes(hn::CappedTag<float, 8>()));
  const bool gaps = dst_pixel != channels;
  if (dst_pixel == 1) {
    copy_floats(planes, dst, pixels);
    return;
  }
  if (pixels < kPixels) {
    for (int64_t i = 0; i < pixels; ++i) {
      for (int64_t c = 0; c < channels; ++c) dst[i * dst_pixel + c] = planes[c * plane + i];
    }
    return;
  }
  for (int64_t i = 0; i < pixels; i += kPixels) {
    i = std::min(i, pixels - kPixels);
    interleave_some<kQuads>(planes + i, plane, channels, gaps, i + kPixels == pixels,
                            dst + i * dst_pixel, dst_pixel);
  }
}
constexpr decltype(&interleave<1>) kInterleave[] = {interleave<1>, interleave<2>, interleave<3>,
                                                    interleave<4>};

/// Rows of pixels, `row` apart in the planes and `dst_row` apart in dst.
inline void interleave_rows(const float* planes, int64_t plane, int64_t row, int64_t channels,
                            int64_t rows, int64_t pixels, float* dst, int64_t dst_row,
                            int64_t dst_pixel) {
  const auto interleave_row = kInterleave[ceil_div(channels, 4) - 1];
  for (int64_t r = 0; r < rows; ++r) {
    interleave_row(planes + r * row, plane, channels, pixels, dst + r * dst_row, dst_pixel);
  }
}

/// The pooling of windows of 2x2 pixels, whose inputs lie in the order of rows.
struct Average {
  using D = hn::ScalableTag<float>;
  using V = hn::Vec<D>;
  static HWY_INLINE V pool(V a, V b, V c, V d) {
    // As pooling kernels do it, which begin with zero.
    const V sum = hn::Add(hn::Add(hn::Add(hn::Add(hn::Zero(D()), a), b), c), d);
    return hn::Mul(sum, hn::Set(D(), 0.25f));
  }
};
struct Maximum {
  using D = hn::ScalableTag<float>;
  using V = hn::Vec<D>;
  static HWY_INLINE V pool(V a, V b, V c, V d) {
    const auto nan = hn::Or(hn::IsEitherNaN(a, b), hn::IsEitherNaN(c, d));
    return hn::IfThenElse(nan, hn::NaN(D()), hn::Max(hn::Max(hn::Max(a, b), c), d));
  }
};

/// One channel, to rows without gaps.
template <class Pooling>
void pool_plane(const float* plane, int64_t pitch, int64_t rows, int64_t columns, float* dst) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t r = 0; r < rows; ++r, plane += 2 * pitch, dst += columns) {
    // What is stored behind a row is the next one's.
    for (int64_t x = 0; x < columns; x += lanes) {
      const float* top = plane + 2 * x;
      const float* bottom = top + pitch;
      const auto top0 = hn::LoadU(d, top), top1 = hn::LoadU(d, top + lanes);
      const auto bottom0 = hn::LoadU(d, bottom), bottom1 = hn::LoadU(d, bottom + lanes);
      const auto pooled =
          Pooling::pool(hn::ConcatEven(d, top1, top0), hn::ConcatOdd(d, top1, top0),
                        hn::ConcatEven(d, bottom1, bottom0), hn::ConcatOdd(d, bottom1, bottom0));
      hn::StoreU(pooled, d, dst + x);
    }
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_ROW_PLANES_INL_H_
