// Elementary functions of float vectors of any length, for use inside Highway code.
//
// Every function is elementwise: the bits of a lane do not depend on its neighbours or its place.
// NaN gives NaN. Bounds are in units in the last place of the float nearest to the exact value, for
// targets with FMA and without; tests/kernels/math_test.cpp verifies them over the whole range.

#include <cmath>
#include <cstdint>

#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_MATH_INL_H_
#undef PLICA_ENGINE_KERNELS_MATH_INL_H_
#else
#define PLICA_ENGINE_KERNELS_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// max(lo, x) and min(hi, x) that keep a NaN in x, and x itself where both are equal.
template <class V>
HWY_INLINE V max_keep_nan(V lo, V x) {
#if HWY_ARCH_X86
  return hn::Max(lo, x);  // maxps returns its second operand if either is NaN.
#else
  return hn::IfThenElse(hn::Lt(x, lo), lo, x);
#endif
}
template <class V>
HWY_INLINE V min_keep_nan(V hi, V x) {
#if HWY_ARCH_X86
  return hn::Min(hi, x);
#else
  return hn::IfThenElse(hn::Gt(x, hi), hi, x);
#endif
}

namespace math {

/// c[0] + c[1] x + c[2] x^2 + ...
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V polynomial(D d, V /*x*/, float c0) {
  return hn::Set(d, c0);
}
template <class D, class V = hn::VFromD<D>, class... Rest>
HWY_INLINE V polynomial(D d, V x, float c0, Rest... rest) {
  return hn::MulAdd(polynomial(d, x, rest...), x, hn::Set(d, c0));
}

/// x = n ln 2 + r with |r| <= 0.3466, for |x| < 2^20. Adding kRounder leaves n in the low bits.
inline constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23

template <class V>
struct ExpParts {
  V rounded;  // kRounder + n
  V expm1_r;  // exp(r) - 1, within 0.6 ulp
};

template <class D, class V = hn::VFromD<D>>
HWY_INLINE ExpParts<V> exp_parts(D d, V x) {
  const V rounder = hn::Set(d, kRounder);
  const V rounded = hn::MulAdd(x, hn::Set(d, 1.44269504f), rounder);
  const V n = hn::Sub(rounded, rounder);
  // ln 2 in two parts; the first has 9 bits, so that its product with n is exact without FMA too.
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  // Minimax for (exp(r) - 1 - r) / r^2: relative error of exp(r) - 1 below 1.4e-8.
  const V q = polynomial(d, r, 0x1.fffffep-2f, 0x1.5554b0p-3f, 0x1.555674p-5f, 0x1.122818p-7f,
                         0x1.6bebeep-10f);
  return {rounded, hn::MulAdd(q, hn::Mul(r, r), r)};
}

/// 2^(n + shift), for -126 <= n + shift <= 127.
template <int shift, class D, class V = hn::VFromD<D>>
HWY_INLINE V power_of_two(D d, V rounded) {
  const hn::RebindToSigned<D> di;
  // The shift pushes out all of kRounder's own bits.
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, rounded));
  return hn::BitCast(d, hn::Add(exponent, hn::Set(di, (127 + shift) << 23)));
}

/// log(1 + f) + e ln 2, for f in [sqrt(1/2) - 1, sqrt(2) - 1].
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V log_parts(D d, V f, V e) {
  // Minimax for (log(1 + f) - f + f^2 / 2) / f^3: relative error of the logarithm below 1e-9.
  const V p = polynomial(d, f, 0.333333135f, -0.250000089f, 0.200021192f, -0.166679963f,
                         0.142195523f, -0.124055885f, 0.11888165f, -0.116756573f, 0.0674664155f);
  const V f2 = hn::Mul(f, f);
  V y = hn::Mul(hn::Mul(p, f), f2);
  y = hn::MulAdd(e, hn::Set(d, -2.12194440e-4f), y);
  y = hn::NegMulAdd(hn::Set(d, 0.5f), f2, y);
  return hn::MulAdd(e, hn::Set(d, 0.693359375f), hn::Add(f, y));
}

/// Exponent e and mantissa m in [sqrt(1/2), sqrt(2)) of a normal x > 0.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V split_exponent(D d, V x, hn::VFromD<hn::RebindToSigned<D>>& e) {
  const hn::RebindToSigned<D> di;
  const auto sqrt_half = hn::Set(di, 0x3F3504F3);
  const auto bits = hn::Sub(hn::BitCast(di, x), sqrt_half);
  e = hn::ShiftRight<23>(bits);
  return hn::BitCast(d, hn::Add(hn::And(bits, hn::Set(di, 0x7FFFFF)), sqrt_half));
}

}  // namespace math

/// e^x: 1.1 ulp for every float; below the smallest normal number too, unless the CPU flushes them.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  x = min_keep_nan(hn::Set(d, 89.0f), max_keep_nan(hn::Set(d, -104.0f), x));
  const auto parts = math::exp_parts(d, x);
  // n reaches -150 and 128: two factors, each within the range of float.
  const auto n =
      hn::Sub(hn::BitCast(di, parts.rounded), hn::BitCast(di, hn::Set(d, math::kRounder)));
  const auto half = hn::ShiftRight<1>(n);
  const auto power = [&](auto k) HWY_ATTR {
    return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(k, hn::Set(di, 127))));
  };
  const V y = hn::Add(hn::Set(d, 1.0f), parts.expm1_r);
  return hn::Mul(hn::Mul(y, power(half)), power(hn::Sub(n, half)));
}

/// e^x - 1: 2 ulp for every float.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_expm1(D d, V x) {
  x = min_keep_nan(hn::Set(d, 89.0f), max_keep_nan(hn::Set(d, -40.0f), x));
  const auto parts = math::exp_parts(d, x);
  // Half of the result, since 2^128 is not a float.
  const V scale = math::power_of_two<-1>(d, parts.rounded);
  const V half = hn::MulAdd(parts.expm1_r, scale, hn::Sub(scale, hn::Set(d, 0.5f)));
  return hn::Add(half, half);
}

/// e^x - 1 for x <= 0: 2 ulp. Meaningless, but not a trap, above 0.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_expm1_negative(D d, V x) {
  const auto parts = math::exp_parts(d, max_keep_nan(hn::Set(d, -40.0f), x));
  const V scale = math::power_of_two<0>(d, parts.rounded);
  return hn::MulAdd(parts.expm1_r, scale, hn::Sub(scale, hn::Set(d, 1.0f)));
}

namespace math {

/// A logarithm of x = (1 + f) 2^e, which `finish(f, e)` computes where x is positive and finite.
template <class D, class V, class Finish>
HWY_INLINE V any_log(D d, V x, const Finish& finish) {
  const hn::RebindToSigned<D> di;
  const auto small = hn::Lt(x, hn::Set(d, 0x1p-126f));
  const V normal = hn::IfThenElse(small, hn::Mul(x, hn::Set(d, 0x1p24f)), x);
  hn::VFromD<decltype(di)> e;
  const V m = split_exponent(d, normal, e);
  const V exponent = hn::Sub(hn::ConvertTo(d, e), hn::IfThenElseZero(small, hn::Set(d, 24.0f)));
  V y = finish(hn::Sub(m, hn::Set(d, 1.0f)), exponent);
  const V zero = hn::Zero(d);
  const V inf = hn::Inf(d);
  y = hn::IfThenElse(hn::Eq(x, inf), inf, y);
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(inf), y);
  return hn::IfThenElse(hn::Ge(x, zero), y, hn::NaN(d));
}

}  // namespace math

/// log x: 1 ulp for every float, denormals included; log 0 = -inf, NaN below.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_log(D d, V x) {
  return math::any_log(d, x, [d](V f, V e) HWY_ATTR { return math::log_parts(d, f, e); });
}

/// log2 x: 2 ulp, exact for powers of two; otherwise like log.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_log2(D d, V x) {
  return math::any_log(d, x, [d](V f, V e) HWY_ATTR {
    return hn::MulAdd(math::log_parts(d, f, hn::Zero(d)), hn::Set(d, 1.44269504f), e);
  });
}

/// log10 x: 2 ulp; otherwise like log.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_log10(D d, V x) {
  return math::any_log(d, x, [d](V f, V e) HWY_ATTR {
    // log10 2 in two parts; the first has 12 bits, so that its product with e is exact.
    const V low = hn::Mul(e, hn::Set(d, 4.605039e-06f));
    const V y = hn::MulAdd(math::log_parts(d, f, hn::Zero(d)), hn::Set(d, 0.434294482f), low);
    return hn::MulAdd(e, hn::Set(d, 0x1.344p-2f), y);
  });
}

/// log(1 + x): 2 ulp for every float; -inf at -1, NaN below.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_log1p(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V one = hn::Set(d, 1.0f);
  const V u = hn::Add(one, x);
  hn::VFromD<decltype(di)> e;
  const V m = math::split_exponent(d, u, e);
  // (1 + x) 2^-e - 1 from x itself, so that what the sum has rounded away is not lost. Above 2^24
  // nothing is lost, and 2^-e might not be a float.
  const V scale = hn::BitCast(d, hn::Sub(hn::Set(di, 127 << 23), hn::ShiftLeft<23>(e)));
  const V f = hn::IfThenElse(hn::Gt(u, hn::Set(d, 0x1p24f)), hn::Sub(m, one),
                             hn::MulAdd(x, scale, hn::Sub(scale, one)));
  V y = math::log_parts(d, f, hn::ConvertTo(d, e));
  const V zero = hn::Zero(d);
  const V inf = hn::Inf(d);
  y = hn::IfThenElse(hn::Eq(u, inf), inf, y);
  y = hn::IfThenElse(hn::Eq(u, zero), hn::Neg(inf), y);
  return hn::IfThenElse(hn::Ge(u, zero), y, hn::NaN(d));
}

/// Vectors that vec_over_one_plus_exp_minus() should be given at a time. The operations on one form
/// a long chain: with fewer, the processor waits for results most of the time.
#if HWY_TARGET <= HWY_AVX3
inline constexpr int kLogisticVectors = 8;
#elif HWY_NATIVE_FMA
inline constexpr int kLogisticVectors = 3;
#else
inline constexpr int kLogisticVectors = 1;
#endif

/// x[i] = y[i] / (1 + e^-x[i]): with y = 1, the logistic function. 4 ulp above -87; below, where
/// the quotient for y = 1 is denormal or 0, |y| times 1e-38 absolutely.
template <int kCount, class D, class V = hn::VFromD<D>>
HWY_INLINE void vec_over_one_plus_exp_minus(D d, const V* HWY_RESTRICT y, V* HWY_RESTRICT x) {
  const V one = hn::Set(d, 1.0f);
#if HWY_NATIVE_FMA
  // With AVX-512, 2^n is multiplied by an instruction that knows about results beyond the range of
  // float. Otherwise 2^(n - 1) is, with twice the polynomial; n is 128 where the result is
  // infinite.
  constexpr bool kScales = HWY_TARGET <= HWY_AVX3 && HWY_MAX_LANES_D(D) == 16;
  constexpr float kFactor = kScales ? 1 : 2;
  const V lowest = hn::Set(d, kScales ? -104.0f : -89.0f);
  const V highest = hn::Set(d, kScales ? 104.0f : 86.0f);
  const V log2e = hn::Set(d, -1.44269502f), rounder = hn::Set(d, math::kRounder);
  V n[kCount], f[kCount], p[kCount];
#define PLICA_EACH \
  HWY_UNROLL(8)    \
  for (int i = 0; i < kCount; ++i)
  PLICA_EACH f[i] = min_keep_nan(highest, max_keep_nan(lowest, x[i]));
  if constexpr (kScales) {
    PLICA_EACH n[i] = hn::Round(hn::Mul(f[i], log2e));
    PLICA_EACH p[i] = hn::MulSub(f[i], log2e, n[i]);
  } else {
    PLICA_EACH n[i] = hn::MulAdd(f[i], log2e, rounder);
    PLICA_EACH p[i] = hn::MulSub(f[i], log2e, hn::Sub(n[i], rounder));
    PLICA_EACH n[i] = math::power_of_two<-1>(d, n[i]);
  }
  PLICA_EACH f[i] = hn::MulAdd(f[i], hn::Set(d, -1.92596299e-8f), p[i]);
  // Minimax for 2^f on |f| <= 1/2: relative error below 1e-7.
  const auto coefficient = [&](float c) HWY_ATTR { return hn::Set(d, kFactor * c); };
  PLICA_EACH p[i] = hn::MulAdd(f[i], coefficient(0x1.5bda40p-10f), coefficient(0x1.3ce8acp-7f));
  PLICA_EACH p[i] = hn::MulAdd(f[i], p[i], coefficient(0x1.c6b6d8p-5f));
  PLICA_EACH p[i] = hn::MulAdd(f[i], p[i], coefficient(0x1.ebf9c2p-3f));
  PLICA_EACH p[i] = hn::MulAdd(f[i], p[i], coefficient(0x1.62e42ap-1f));
  PLICA_EACH p[i] = hn::MulAdd(f[i], p[i], coefficient(1));
  if constexpr (kScales) {
#if HWY_TARGET <= HWY_AVX3
    PLICA_EACH p[i] = hn::Add(V{_mm512_scalef_ps(p[i].raw, n[i].raw)}, one);
#endif
  } else {
    PLICA_EACH p[i] = hn::MulAdd(p[i], n[i], one);
  }
  PLICA_EACH x[i] = hn::Div(y[i], p[i]);
#undef PLICA_EACH
#else
  for (int i = 0; i < kCount; ++i) {
    const V z = min_keep_nan(hn::Set(d, 89.0f), max_keep_nan(hn::Set(d, -60.0f), hn::Neg(x[i])));
    const auto parts = math::exp_parts(d, z);
    const V half = math::power_of_two<-1>(d, parts.rounded);
    const V half_exp = hn::MulAdd(parts.expm1_r, half, half);
    x[i] = hn::Div(y[i], hn::MulAdd(hn::Set(d, 2.0f), half_exp, one));
  }
#endif
}
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_over_one_plus_exp_minus(D d, V y, V x) {
  vec_over_one_plus_exp_minus<1>(d, &y, &x);
  return x;
}

/// 1 / (1 + e^-x), likewise.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_sigmoid(D d, V x) {
  return vec_over_one_plus_exp_minus(d, hn::Set(d, 1.0f), x);
}

/// tanh x: 3 ulp for every float.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_tanh(D d, V x) {
  const V two = hn::Set(d, 2.0f);
  const V abs = hn::Abs(x);
  const V q = vec_expm1_negative(d, hn::Neg(hn::Add(abs, abs)));
  return hn::CopySign(hn::Div(q, hn::Add(q, two)), x);
}

/// erf x: 6 ulp for every float.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_erf(D d, V x) {
  // Minimax on |x| <= 3.95, where erf rounds to 1; relative error 2.1e-8.
  const V limit = hn::Set(d, 3.95f);
  x = min_keep_nan(limit, max_keep_nan(hn::Neg(limit), x));
  const V x2 = hn::Mul(x, x);
  const V p = math::polynomial(d, x2, 1.12837914f, 0.191544663f, 0.0528746935f, 0.00380791638f,
                               0.000284681709f, 2.02594565e-06f);
  const V q = math::polynomial(d, x2, 1.0f, 0.503084715f, 0.114557283f, 0.0150546013f,
                               0.00117066524f, 3.78318742e-05f);
  const V one = hn::Set(d, 1.0f);
  return min_keep_nan(one, max_keep_nan(hn::Neg(one), hn::Div(hn::Mul(x, p), q)));
}

namespace math {

/// Where |x| is at most this, sine and cosine reduce x by vectors.
inline constexpr float kMostReduced = 0x1p17f;

/// x - h pi for |x| up to kMostReduced, h pi being a multiple of pi / 2 next to x: 1 ulp of the
/// exact difference. By Cody and Waite, Software Manual for the Elementary Functions (1980): pi in
/// parts, so that nothing is rounded where the difference is small. Without FMA, 24-bit parts have
/// no exact products, and two parts in double have.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V minus_multiple_of_pi(D d, V x, V h) {
#if HWY_NATIVE_FMA
  V r = hn::NegMulAdd(h, hn::Set(d, 0x1.921fb6p1f), x);
  r = hn::NegMulAdd(h, hn::Set(d, -0x1.777a5cp-24f), r);
  return hn::NegMulAdd(h, hn::Set(d, -0x1.ee59dap-49f), r);
#else
  const auto reduce = [](auto dd, auto wide_x, auto wide_h) HWY_ATTR {
    const auto r = hn::NegMulAdd(wide_h, hn::Set(dd, 0x1.921fb544p1), wide_x);
    return hn::NegMulAdd(wide_h, hn::Set(dd, 0x1.0b4611a626331p-33), r);
  };
  if constexpr (HWY_MAX_LANES_D(D) == 1) {
    const hn::Rebind<double, D> dd;
    return hn::DemoteTo(d, reduce(dd, hn::PromoteTo(dd, x), hn::PromoteTo(dd, h)));
  } else {
    const hn::Half<D> dh;
    const hn::Rebind<double, decltype(dh)> dd;
    const auto lower = reduce(dd, hn::PromoteTo(dd, hn::LowerHalf(dh, x)),
                              hn::PromoteTo(dd, hn::LowerHalf(dh, h)));
    const auto upper = reduce(dd, hn::PromoteTo(dd, hn::UpperHalf(dh, x)),
                              hn::PromoteTo(dd, hn::UpperHalf(dh, h)));
    return hn::Combine(d, hn::DemoteTo(dh, upper), hn::DemoteTo(dh, lower));
  }
#endif
}

/// (-1)^n sin(r) = sin x for x = r + n pi, and (-1)^(n + 1) sin(r) = cos x for x = r + (n + 1/2)
/// pi.
template <bool kCosine, class D, class V = hn::VFromD<D>>
HWY_INLINE V sine(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V rounder = hn::Set(d, kRounder), half = hn::Set(d, kCosine ? 0.5f : 0.0f);
  const V turns = hn::MulSub(x, hn::Set(d, 0.318309886f), half);
  const V rounded = hn::Add(turns, rounder);
  const V n = hn::Sub(rounded, rounder);
  const V r = minus_multiple_of_pi(d, x, kCosine ? hn::Add(n, half) : n);
  // Minimax for (sin(r) - r) / r^3 on |r| <= 1.6: relative error of the sine below 7.6e-9.
  const V r2 = hn::Mul(r, r);
  const V p = polynomial(d, r2, -0x1.55554ap-3f, 0x1.110e86p-7f, -0x1.9f6138p-13f, 0x1.5ce6c4p-19f);
  V y = hn::MulAdd(hn::Mul(p, r2), r, r);
  const auto odd = hn::ShiftLeft<31>(hn::BitCast(di, rounded));
  y = hn::Xor(y, hn::BitCast(d, odd));
  if constexpr (kCosine) y = hn::Neg(y);
  if (HWY_LIKELY(hn::AllTrue(d, hn::Le(hn::Abs(x), hn::Set(d, kMostReduced))))) return y;
  HWY_ALIGN float in[hn::MaxLanes(d)], out[hn::MaxLanes(d)];
  hn::Store(x, d, in);
  hn::Store(y, d, out);
  for (size_t i = 0; i < hn::Lanes(d); ++i) {
    if (std::fabs(in[i]) <= kMostReduced) continue;
    const double wide = in[i];
    out[i] = static_cast<float>(kCosine ? std::cos(wide) : std::sin(wide));
  }
  return hn::Load(d, out);
}

}  // namespace math

/// sin x and cos x: 3 ulp for every float. Up to 2^17, in vectors; beyond, one by one by the C
/// library, an order of magnitude slower. NaN for infinities.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_sin(D d, V x) {
  return math::sine<false>(d, x);
}
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_cos(D d, V x) {
  return math::sine<true>(d, x);
}

namespace math {

/// |x|^y in double for |x|, y in double: relative error below 1e-9 where the result is a float.
template <class DD, class V = hn::VFromD<DD>>
HWY_INLINE V pow_double(DD d, V x, V y) {
  const hn::RebindToSigned<DD> di;
  const V one = hn::Set(d, 1.0);
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); every float but 0 is a normal double.
  const auto sqrt_half = hn::Set(di, int64_t{0x3FE6A09E667F3BCD});
  const auto bits = hn::Sub(hn::BitCast(di, x), sqrt_half);
  const auto e_bits = hn::AndNot(hn::Set(di, int64_t{0xFFFFFFFFFFFFF}), bits);
  const V m = hn::BitCast(d, hn::Sub(hn::BitCast(di, x), e_bits));
  // e in double: its bits (e * 2^52, two's complement) shifted down into the mantissa of 1.5 *
  // 2^52.
  const V magic = hn::Set(d, 6755399441055744.0);
  const auto e_low =
      hn::BitCast(di, hn::ShiftRight<52>(hn::BitCast(hn::RebindToUnsigned<DD>(), e_bits)));
  // Logical shift leaves e mod 2^12; sign-extend by the xor-subtract of its sign bit.
  const auto sign = hn::Set(di, int64_t{0x800});
  const auto e_int = hn::Sub(hn::Xor(e_low, sign), sign);
  const V e = hn::Sub(hn::BitCast(d, hn::Add(e_int, hn::BitCast(di, magic))), magic);
  // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716.
  const V s = hn::Div(hn::Sub(m, one), hn::Add(m, one));
  const V s2 = hn::Mul(s, s);
  V a = hn::Set(d, 2.0 / 15);
  for (double c : {2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3, 2.0}) {
    a = hn::MulAdd(a, s2, hn::Set(d, c));
  }
  V log2x = hn::MulAdd(hn::Mul(a, s), hn::Set(d, 1.44269504088896340736), e);
  log2x = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(hn::Inf(d)), log2x);
  log2x = hn::IfThenElse(hn::Lt(x, hn::Inf(d)), log2x, x);
  // 2^z; beyond +-300 the float is 0 or inf.
  V z = hn::Mul(y, log2x);
  z = min_keep_nan(hn::Set(d, 300.0), max_keep_nan(hn::Set(d, -300.0), z));
  const V rounded = hn::Add(z, magic);
  const V r = hn::Mul(hn::Sub(z, hn::Sub(rounded, magic)), hn::Set(d, 0.69314718055994530942));
  V p = hn::Set(d, 1.0 / 3628800);
  for (double c : {1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6,
                   0.5, 1.0, 1.0}) {
    p = hn::MulAdd(p, r, hn::Set(d, c));
  }
  const auto power =
      hn::Add(hn::ShiftLeft<52>(hn::BitCast(di, rounded)), hn::Set(di, int64_t{1023} << 52));
  return hn::IfThenElse(hn::IsNaN(z), z, hn::Mul(p, hn::BitCast(d, power)));
}

}  // namespace math

/// x^y: 1 ulp for all floats x and y, with the special cases of C's pow. Computed in double: an
/// order of magnitude slower than the other functions.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V vec_pow(D d, V x, V y) {
  const V one = hn::Set(d, 1.0f);
  const V abs = hn::Abs(x);
  V result;
  if constexpr (HWY_MAX_LANES_D(D) == 1) {
    const hn::Rebind<double, D> dd;
    result = hn::DemoteTo(d, math::pow_double(dd, hn::PromoteTo(dd, abs), hn::PromoteTo(dd, y)));
  } else {
    const hn::Half<D> dh;
    const hn::Rebind<double, decltype(dh)> dd;
    const auto lower = math::pow_double(dd, hn::PromoteTo(dd, hn::LowerHalf(dh, abs)),
                                        hn::PromoteTo(dd, hn::LowerHalf(dh, y)));
    const auto upper = math::pow_double(dd, hn::PromoteTo(dd, hn::UpperHalf(dh, abs)),
                                        hn::PromoteTo(dd, hn::UpperHalf(dh, y)));
    result = hn::Combine(d, hn::DemoteTo(dh, upper), hn::DemoteTo(dh, lower));
  }
  // Sign: odd integers keep that of x; a finite negative x has no power that is not an integer.
  // Every float from 2^24 on is an even integer.
  const V big = hn::Set(d, 0x1p24f);
  const V y_safe = hn::IfThenElse(hn::Lt(hn::Abs(y), big), y, hn::Zero(d));
  const auto is_integer = hn::Eq(hn::Trunc(y_safe), y_safe);
  const V half = hn::Mul(y_safe, hn::Set(d, 0.5f));
  const auto is_odd = hn::And(is_integer, hn::Ne(hn::Trunc(half), half));
  result = hn::IfThenElse(is_odd, hn::CopySign(result, x), result);
  const auto bad = hn::AndNot(is_integer, hn::And(hn::Lt(x, hn::Zero(d)), hn::Ne(abs, hn::Inf(d))));
  result = hn::IfThenElse(bad, hn::NaN(d), result);
  // 1^y and x^0 are 1 whatever the other is; (-1)^(+-inf) is 1.
  const auto unit = hn::Or(hn::Eq(x, one), hn::Eq(y, hn::Zero(d)));
  const auto minus_one_inf = hn::And(hn::Eq(abs, one), hn::Eq(hn::Abs(y), hn::Inf(d)));
  return hn::IfThenElse(hn::Or(unit, minus_one_inf), one, result);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_MATH_INL_H_
