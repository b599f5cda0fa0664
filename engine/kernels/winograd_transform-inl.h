// The one-dimensional transforms of Winograd's F(2, 3) and F(4, 3).

#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
#undef PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
#else
#define PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// kOut outputs from kIn = kOut + 2 inputs: output(input(x) * weight(w)). The weights' side is
/// winograd_weight_rows().
template <int kOut>
struct WinogradTransform;

/// Points 0, 1, -1 and infinity.
template <>
struct WinogradTransform<2> {
  template <class D, class V = hn::VFromD<D>>
  static HWY_INLINE void input(D, const V* x, V* y) {
    y[0] = hn::Sub(x[0], x[2]);
    y[1] = hn::Add(x[1], x[2]);
    y[2] = hn::Sub(x[2], x[1]);
    y[3] = hn::Sub(x[3], x[1]);
  }
  template <class D, class V = hn::VFromD<D>>
  static HWY_INLINE void output(D, const V* x, V* y) {
    y[0] = hn::Add(x[0], hn::Add(x[1], x[2]));
    y[1] = hn::Add(x[3], hn::Sub(x[1], x[2]));
  }
};

/// Points 0, a, -a, b, -b and infinity; what belongs to a point and its negative is computed as the
/// sum and difference of even and odd powers.
template <>
struct WinogradTransform<4> {
  template <class D, class V = hn::VFromD<D>>
  static HWY_INLINE void input(D d, const V* x, V* y) {
    constexpr float a = WinogradPoints::a, b = WinogradPoints::b;
    const V aa = hn::Set(d, a * a), bb = hn::Set(d, b * b);
    const V sum = hn::Set(d, a * a + b * b), product = hn::Set(d, a * a * (b * b));
    const V even_a = hn::NegMulAdd(bb, x[2], x[4]), odd_a = hn::NegMulAdd(bb, x[1], x[3]);
    const V even_b = hn::NegMulAdd(aa, x[2], x[4]), odd_b = hn::NegMulAdd(aa, x[1], x[3]);
    y[0] = hn::MulAdd(product, x[0], hn::NegMulAdd(sum, x[2], x[4]));
    y[5] = hn::MulAdd(product, x[1], hn::NegMulAdd(sum, x[3], x[5]));
    const V va = hn::Set(d, a), vb = hn::Set(d, b);
    y[1] = hn::MulAdd(va, odd_a, even_a);
    y[2] = hn::NegMulAdd(va, odd_a, even_a);
    y[3] = hn::MulAdd(vb, odd_b, even_b);
    y[4] = hn::NegMulAdd(vb, odd_b, even_b);
  }
  template <class D, class V = hn::VFromD<D>>
  static HWY_INLINE void output(D d, const V* x, V* y) {
    constexpr float a = WinogradPoints::a, b = WinogradPoints::b;
    const V sum_a = hn::Add(x[1], x[2]), difference_a = hn::Sub(x[1], x[2]);
    const V sum_b = hn::Add(x[3], x[4]), difference_b = hn::Sub(x[3], x[4]);
    const auto combine = [&](float fa, V xa, float fb, V xb) HWY_ATTR {
      return hn::MulAdd(hn::Set(d, fa), xa, hn::Mul(hn::Set(d, fb), xb));
    };
    y[0] = hn::Add(x[0], hn::Add(sum_a, sum_b));
    y[1] = combine(a, difference_a, b, difference_b);
    y[2] = combine(a * a, sum_a, b * b, sum_b);
    y[3] = hn::Add(x[5], combine(a * a * a, difference_a, b * b * b, difference_b));
  }
};

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
