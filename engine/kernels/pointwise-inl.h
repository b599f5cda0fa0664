// The vector form of every function in base/pointwise.h, for kernels that apply one in their
// epilogue, and the loop over a row.

#include <cstddef>

#include "engine/base/pointwise.h"
#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_POINTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_POINTWISE_INL_H_
#undef PLICA_ENGINE_KERNELS_POINTWISE_INL_H_
#else
#define PLICA_ENGINE_KERNELS_POINTWISE_INL_H_
#endif

#include "engine/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Functions of the form y(x) / (1 + e^-z(x)).
template <Pointwise::Kind kind>
inline constexpr bool kIsLogistic =
    kind == Pointwise::kSigmoid || kind == Pointwise::kSilu || kind == Pointwise::kGeluTanh;

template <Pointwise::Kind kind, int kCount, class D, class V = hn::VFromD<D>>
HWY_INLINE void apply_logistic(D d, V* HWY_RESTRICT x) {
  V y[kCount];
  HWY_UNROLL(8)
  for (int i = 0; i < kCount; ++i) {
    y[i] = kind == Pointwise::kSigmoid ? hn::Set(d, 1.0f) : x[i];
    if constexpr (kind == Pointwise::kGeluTanh) {
      // (1 + tanh(u)) / 2 = 1 / (1 + e^-2u), with 2u = x (c0 + c1 x^2).
      const V x2 = hn::Mul(x[i], x[i]);
      x[i] = hn::Mul(x[i], hn::MulAdd(x2, hn::Set(d, 0.0713548163f), hn::Set(d, 1.59576912f)));
    }
  }
  vec_over_one_plus_exp_minus<kCount>(d, y, x);
}

/// f(x) with the parameters a and b of `kind` broadcast to vectors. The same operations for every
/// lane and every vector length.
template <Pointwise::Kind kind, class D, class V = hn::VFromD<D>>
HWY_INLINE V apply_pointwise(D d, V x, V a, V b) {
  (void)a, (void)b;
  const V one = hn::Set(d, 1.0f);
  if constexpr (kind == Pointwise::kIdentity) {
    return x;
  } else if constexpr (kind == Pointwise::kClamp) {
    return min_keep_nan(b, max_keep_nan(a, x));
  } else if constexpr (kind == Pointwise::kLeakyRelu) {
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(x, a), x);
  } else if constexpr (kind == Pointwise::kElu) {
    const V negative = hn::Mul(a, vec_expm1_negative(d, hn::Mul(x, b)));
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, negative);
  } else if constexpr (kIsLogistic<kind>) {
    apply_logistic<kind, 1>(d, &x);
    return x;
  } else if constexpr (kind == Pointwise::kTanh) {
    return vec_tanh(d, x);
  } else if constexpr (kind == Pointwise::kGeluErf) {
    const V erf = vec_erf(d, hn::Mul(x, hn::Set(d, 0.707106781f)));
    const V half = hn::Mul(x, hn::Set(d, 0.5f));
    return hn::MulAdd(half, erf, half);
  } else if constexpr (kind == Pointwise::kHardswish || kind == Pointwise::kHardsigmoid) {
    V y = hn::Add(x, hn::Set(d, 3.0f));
    y = min_keep_nan(hn::Set(d, 6.0f), max_keep_nan(hn::Zero(d), y));
    y = hn::Mul(y, hn::Set(d, 1.0f / 6));
    if constexpr (kind == Pointwise::kHardswish) y = hn::Mul(x, y);
    return y;
  } else if constexpr (kind == Pointwise::kSoftplus) {
    // log(1 + e^z) = max(z, 0) + log1p(e^-|z|)
    const V z = hn::Mul(x, a);
    const V tail = vec_log1p(d, vec_exp(d, hn::Neg(hn::Abs(z))));
    const V y = hn::Div(hn::Add(max_keep_nan(hn::Zero(d), z), tail), a);
    return hn::IfThenElse(hn::Gt(z, b), x, y);
  } else if constexpr (kind == Pointwise::kMish) {
    // tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2). From x = 20 on it rounds to 1.
    const V two = hn::Set(d, 2.0f);
    const V e = vec_exp(d, min_keep_nan(hn::Set(d, 20.0f), x));
    const V n = hn::Mul(e, hn::Add(e, two));
    return hn::Mul(x, hn::Div(n, hn::Add(n, two)));
  } else if constexpr (kind == Pointwise::kExp) {
    return vec_exp(d, x);
  } else if constexpr (kind == Pointwise::kLog) {
    return vec_log(d, x);
  } else if constexpr (kind == Pointwise::kErf) {
    return vec_erf(d, x);
  } else if constexpr (kind == Pointwise::kSqrt) {
    return hn::Sqrt(x);
  } else if constexpr (kind == Pointwise::kRsqrt) {
    return hn::Div(one, hn::Sqrt(x));
  } else if constexpr (kind == Pointwise::kReciprocal) {
    return hn::Div(one, x);
  } else if constexpr (kind == Pointwise::kAbs) {
    return hn::Abs(x);
  } else if constexpr (kind == Pointwise::kNeg) {
    return hn::Neg(x);
  } else if constexpr (kind == Pointwise::kSquare) {
    return hn::Mul(x, x);
  } else if constexpr (kind == Pointwise::kPow) {
    return vec_pow(d, x, a);
  } else if constexpr (kind == Pointwise::kSelu) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), hn::Mul(x, b),
                          hn::Mul(a, vec_expm1_negative(d, x)));
  } else if constexpr (kind == Pointwise::kExpm1) {
    return vec_expm1(d, x);
  } else if constexpr (kind == Pointwise::kLog1p) {
    return vec_log1p(d, x);
  } else if constexpr (kind == Pointwise::kPowBase) {
    return vec_pow(d, a, x);
  } else if constexpr (kind == Pointwise::kGreater) {
    return hn::IfThenElseZero(hn::Gt(x, a), one);
  } else if constexpr (kind == Pointwise::kGreaterEqual) {
    return hn::IfThenElseZero(hn::Ge(x, a), one);
  } else if constexpr (kind == Pointwise::kLess) {
    return hn::IfThenElseZero(hn::Lt(x, a), one);
  } else if constexpr (kind == Pointwise::kLessEqual) {
    return hn::IfThenElseZero(hn::Le(x, a), one);
  } else if constexpr (kind == Pointwise::kThreshold) {
    return hn::IfThenElse(hn::Le(x, a), b, x);
  } else if constexpr (kind == Pointwise::kSoftshrink) {
    const V shrunk = hn::Sub(x, hn::CopySign(a, x));
    return hn::IfThenZeroElse(hn::Le(hn::Abs(x), a), shrunk);
  } else if constexpr (kind == Pointwise::kHardshrink) {
    return hn::IfThenZeroElse(hn::Le(hn::Abs(x), a), x);
  } else if constexpr (kind == Pointwise::kSign) {
    // 0 for NaN.
    return hn::IfThenElseZero(hn::Gt(hn::Abs(x), hn::Zero(d)), hn::CopySign(one, x));
  } else if constexpr (kind == Pointwise::kFloor) {
    return hn::Floor(x);
  } else if constexpr (kind == Pointwise::kCeil) {
    return hn::Ceil(x);
  } else if constexpr (kind == Pointwise::kRound) {
    return hn::Round(x);
  } else if constexpr (kind == Pointwise::kTrunc) {
    return hn::Trunc(x);
  } else if constexpr (kind == Pointwise::kSin) {
    return vec_sin(d, x);
  } else if constexpr (kind == Pointwise::kCos) {
    return vec_cos(d, x);
  } else if constexpr (kind == Pointwise::kLog2) {
    return vec_log2(d, x);
  } else if constexpr (kind == Pointwise::kLog10) {
    return vec_log10(d, x);
  } else if constexpr (kind == Pointwise::kEqual) {
    return hn::IfThenElseZero(hn::Eq(x, a), one);
  } else if constexpr (kind == Pointwise::kNotEqual) {
    // Not Ne, which is false for NaN on some targets.
    return hn::IfThenZeroElse(hn::Eq(x, a), one);
  } else {
    static_assert(kind == Pointwise::kScale, "a function without a vector form");
    return hn::MulAdd(x, a, b);
  }
}

/// dst[i] = f(src[i]), in place or apart. src may be misaligned.
template <Pointwise::Kind kind>
HWY_NOINLINE void pointwise_row(const float* src, float* dst, size_t n, float a, float b) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto va = hn::Set(d, a);
  const auto vb = hn::Set(d, b);
  size_t i = 0;
  if constexpr (kIsLogistic<kind> && kLogisticVectors > 1) {
    constexpr int kCount = kLogisticVectors;
    for (; i + kCount * lanes <= n; i += kCount * lanes) {
      hn::Vec<decltype(d)> x[kCount];
      HWY_UNROLL(8)
      for (int k = 0; k < kCount; ++k) x[k] = hn::LoadU(d, src + i + k * lanes);
      apply_logistic<kind, kCount>(d, x);
      HWY_UNROLL(8)
      for (int k = 0; k < kCount; ++k) hn::StoreU(x[k], d, dst + i + k * lanes);
    }
  }
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(apply_pointwise<kind>(d, hn::LoadU(d, src + i), va, vb), d, dst + i);
  }
  if (i < n) {
    const auto x = hn::LoadN(d, src + i, n - i);
    hn::StoreN(apply_pointwise<kind>(d, x, va, vb), d, dst + i, n - i);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_POINTWISE_INL_H_
