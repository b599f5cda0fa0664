#include "engine/kernels/channel_affine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/channel_affine.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

struct Step {
  D d;
  V lo, hi;

  // x stands second in both: an x86 min or max returns its second operand if either is NaN.
  HWY_INLINE V clamp(V x) const { return hn::Min(hi, hn::Max(lo, x)); }
  HWY_INLINE V affine(V x, V scale, V shift) const { return hn::MulAdd(x, scale, shift); }
};

template <bool kResidual>
HWY_INLINE void by_column(const AffineRows& p) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const Step step{d, hn::Set(d, p.lo), hn::Set(d, p.hi)};
  const size_t whole = p.columns / lanes * lanes;
  const size_t rest = p.columns - whole;
  for (size_t r = 0; r < p.rows; ++r) {
    const float* src = p.src + r * p.src_stride;
    const float* residual = kResidual ? p.residual + r * p.residual_stride : nullptr;
    float* dst = p.dst + r * p.dst_stride;
    size_t i = 0;
    for (; i < whole; i += lanes) {
      V y =
          step.affine(hn::LoadU(d, src + i), hn::LoadU(d, p.scale + i), hn::LoadU(d, p.shift + i));
      if constexpr (kResidual) y = hn::Add(y, hn::LoadU(d, residual + i));
      hn::StoreU(step.clamp(y), d, dst + i);
    }
    if (rest) {
      V y = step.affine(hn::LoadN(d, src + i, rest), hn::LoadN(d, p.scale + i, rest),
                        hn::LoadN(d, p.shift + i, rest));
      if constexpr (kResidual) y = hn::Add(y, hn::LoadN(d, residual + i, rest));
      hn::StoreN(step.clamp(y), d, dst + i, rest);
    }
  }
}

template <bool kResidual>
HWY_INLINE void by_row(const AffineRows& p, size_t first_row, size_t channels) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const Step step{d, hn::Set(d, p.lo), hn::Set(d, p.hi)};
  const size_t whole = p.columns / lanes * lanes;
  const size_t rest = p.columns - whole;
  for (size_t r = 0; r < p.rows; ++r) {
    const float* src = p.src + r * p.src_stride;
    const float* residual = kResidual ? p.residual + r * p.residual_stride : nullptr;
    float* dst = p.dst + r * p.dst_stride;
    const size_t c = (first_row + r) % channels;
    const V scale = hn::Set(d, p.scale[c]);
    const V shift = hn::Set(d, p.shift[c]);
    size_t i = 0;
    for (; i < whole; i += lanes) {
      V y = step.affine(hn::LoadU(d, src + i), scale, shift);
      if constexpr (kResidual) y = hn::Add(y, hn::LoadU(d, residual + i));
      hn::StoreU(step.clamp(y), d, dst + i);
    }
    if (rest) {
      V y = step.affine(hn::LoadN(d, src + i, rest), scale, shift);
      if constexpr (kResidual) y = hn::Add(y, hn::LoadN(d, residual + i, rest));
      hn::StoreN(step.clamp(y), d, dst + i, rest);
    }
  }
}

void ByColumn(const AffineRows& p) { p.residual ? by_column<true>(p) : by_column<false>(p); }

void ByRow(const AffineRows& p, size_t first_row, size_t channels) {
  p.residual ? by_row<true>(p, first_row, channels) : by_row<false>(p, first_row, channels);
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(ByColumn);
HWY_EXPORT(ByRow);

void affine_by_column(const AffineRows& problem) { HWY_DYNAMIC_DISPATCH(ByColumn)(problem); }

void affine_by_row(const AffineRows& problem, size_t first_row, size_t channels) {
  HWY_DYNAMIC_DISPATCH(ByRow)(problem, first_row, channels);
}

}  // namespace plica
#endif
