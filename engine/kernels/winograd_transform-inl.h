// The one-dimensional transforms of Winograd's F(m, r): m outputs of r taps from n = m + r - 1
// inputs, by Cook and Toom's interpolation (Lavin and Gray, "Fast algorithms for convolutional
// neural networks", 2016; points chosen as in Barabasz et al., "Error analysis and improving the
// accuracy of Winograd convolution for deep neural networks", 2020).

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "engine/kernels/winograd.h"
#include "engine/kernels/winograd_points.h"
#include "hwy/highway.h"

#ifndef PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_ONCE_
#define PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_ONCE_
namespace plica {

/// The products of an axis with one matrix of weights: those from `first` on, each for the next
/// point.
struct WinogradProducts {
  int first, count, point;
};

namespace winograd {

/// Coefficients, from the constant on, of the product of (z - p^2) over all pairs but `without`.
template <int kPairs>
constexpr std::array<double, kPairs + 1> squares_polynomial(int without) {
  std::array<double, kPairs + 1> c = {1};
  int degree = 0;
  for (int i = 0; i < kPairs; ++i) {
    if (i == without) continue;
    const double square = kWinogradPairs<kPairs>[i] * kWinogradPairs<kPairs>[i];
    ++degree;
    for (int k = degree; k >= 0; --k) c[k] = (k > 0 ? c[k - 1] : 0) - square * c[k];
  }
  return c;
}

/// The product of the differences between a point, 0 or p or -p, and the other finite points.
template <int kPairs>
constexpr double divisor(int pair) {
  const std::array<double, kPairs + 1> c = squares_polynomial<kPairs>(pair);
  if (pair < 0) return c[0];
  const double square = kWinogradPairs<kPairs>[pair] * kWinogradPairs<kPairs>[pair];
  double value = 0;
  for (int k = kPairs - 1; k >= 0; --k) value = value * square + c[k];
  return 2 * square * value;
}

/// [k][pair]: what sums (of even k) or differences contribute to output k.
template <int kPairs, int kOut>
constexpr std::array<std::array<float, kPairs>, kOut> output_factors() {
  std::array<std::array<float, kPairs>, kOut> factors = {};
  for (int i = 0; i < kPairs; ++i) {
    double power = 1;
    for (int k = 0; k < kOut; ++k, power *= kWinogradPairs<kPairs>[i]) {
      factors[k][i] = static_cast<float>(power / divisor<kPairs>(i));
    }
  }
  return factors;
}

}  // namespace winograd
}  // namespace plica
#endif  // PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_ONCE_

#if defined(PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
#undef PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
#else
#define PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// kM outputs = output(input(kM + kR - 1 inputs) * weights(kR taps)), element by element. Points
/// are numbered 0, p, -p, q, -q .. infinity; the weights' side is the plain value of the polynomial
/// there, and all divisors are on the outputs' side.
template <int kM, int kR, int kStride = 1>
struct WinogradTransform {
  static constexpr WinogradAxis kAxis{kM, kR};
  static constexpr int kOut = kM, kTaps = kR, kPoints = kM + kR - 1;
  static constexpr int kInputs = kPoints, kMatrices = kPoints;
  static_assert(kPoints % 2 == 0);
  static constexpr int kPairs = kPoints / 2 - 1;
  static constexpr auto kPair = kWinogradPairs<kPairs>;

  /// Transformed inputs, the factors of products, come in groups: those of 0 and infinity, then
  /// those of each pair.
  static constexpr int kGroups = kPairs + 1;
  static constexpr int group_size(int) { return 2; }
  static constexpr int product(int group, int i) {
    return group > 0 ? 2 * group - 1 + i : i * (kPoints - 1);
  }
  static constexpr WinogradProducts products(int matrix) { return {matrix, 1, matrix}; }

  /// What belongs to a pair is the sum and the difference of even and odd powers.
  template <int kGroup, class D, class V = hn::VFromD<D>>
  static HWY_INLINE void input_group(D d, const V* x, V* y) {
    constexpr auto kOthers = winograd::squares_polynomial<kPairs>(kGroup - 1);
    if constexpr (kGroup == 0) {
      y[0] = polynomial<kPairs, 2>(d, kOthers, x);
      y[1] = polynomial<kPairs, 2>(d, kOthers, x + 1);
    } else {
      const V even = polynomial<kPairs - 1, 2>(d, kOthers, x + 2);
      const V odd = polynomial<kPairs - 1, 2>(d, kOthers, x + 1);
      const V p = hn::Set(d, static_cast<float>(kPair[kGroup - 1]));
      y[0] = hn::MulAdd(p, odd, even);
      y[1] = hn::NegMulAdd(p, odd, even);
    }
  }

  template <class D, class V = hn::VFromD<D>>
  static HWY_INLINE void output(D d, const V* x, V* y) {
    V sum[kPairs], difference[kPairs];
    HWY_UNROLL(8)
    for (int i = 0; i < kPairs; ++i) {
      sum[i] = hn::Add(x[1 + 2 * i], x[2 + 2 * i]);
      difference[i] = hn::Sub(x[1 + 2 * i], x[2 + 2 * i]);
    }
    constexpr auto kFactors = winograd::output_factors<kPairs, kM>();
    constexpr auto kZero = static_cast<float>(1 / winograd::divisor<kPairs>(-1));
    HWY_UNROLL(8)
    for (int k = 0; k < kM; ++k) {
      const V* from = k % 2 == 0 ? sum : difference;
      V value = hn::Mul(hn::Set(d, kFactors[k][0]), from[0]);
      if (k == 0) value = hn::MulAdd(hn::Set(d, kZero), x[0], value);
      if (k == kM - 1) value = hn::Add(value, x[kPoints - 1]);
      HWY_UNROLL(8)
      for (int i = 1; i < kPairs; ++i) {
        value = hn::MulAdd(hn::Set(d, kFactors[k][i]), from[i], value);
      }
      y[k] = value;
    }
  }

  /// The value at one point.
  template <int kPoint, class D, class V = hn::VFromD<D>>
  static HWY_INLINE V weight(D d, const V* x) {
    if constexpr (kPoint == 0) {
      return x[0];
    } else if constexpr (kPoint == kPoints - 1) {
      return x[kR - 1];
    } else {
      static_assert(kR > 1);
      constexpr double p = kPair[(kPoint - 1) / 2];
      const V p2 = hn::Set(d, static_cast<float>(p * p));
      V even = x[(kR - 1) / 2 * 2], odd = x[(kR - 2) / 2 * 2 + 1];
      HWY_UNROLL(8)
      for (int k = kR - 3; k >= 0; --k) {
        V& value = k % 2 == 0 ? even : odd;
        value = hn::MulAdd(p2, value, x[k]);
      }
      return hn::MulAdd(hn::Set(d, static_cast<float>(kPoint % 2 == 1 ? p : -p)), odd, even);
    }
  }

 private:
  /// The sum of c[k] * x[kStep * k], where c[kDegree] is 1.
  template <int kDegree, int kStep, class D, class C, class V = hn::VFromD<D>>
  static HWY_INLINE V polynomial(D d, const C& c, const V* x) {
    V value = x[kStep * kDegree];
    HWY_UNROLL(8)
    for (int k = kDegree - 1; k >= 0; --k) {
      value = hn::MulAdd(hn::Set(d, static_cast<float>(c[k])), x[kStep * k], value);
    }
    return value;
  }
};

/// Stride 2: even inputs and even taps, odd inputs and odd taps are convolutions whose products are
/// summed. The even ones come first. Where odd taps are fewer, so are the odd products: there is
/// none at infinity. A single odd tap has the same value at all points.
template <int kM, int kR>
struct WinogradTransform<kM, kR, 2> {
  using Phase = WinogradTransform<kM, (kR + 1) / 2>;
  static constexpr WinogradAxis kAxis{kM, kR, 2};
  static constexpr int kOut = kM, kTaps = kR, kPoints = Phase::kPoints;
  static constexpr int kInputs = 2 * kPoints - kR % 2;
  static constexpr int kMatrices = kR == 3 ? kPoints + 1 : kInputs;
  static_assert(kAxis.points() == kPoints && kAxis.products() == kInputs &&
                kAxis.matrices() == kMatrices);

  static constexpr int kGroups = 2 * Phase::kGroups;
  static constexpr int group_size(int group) {
    return group == Phase::kGroups && kR % 2 == 1 ? 1 : Phase::group_size(group);
  }
  static constexpr int product(int group, int i) {
    return group < Phase::kGroups ? Phase::product(group, i)
                                  : kPoints + Phase::product(group - Phase::kGroups, i);
  }
  static constexpr WinogradProducts products(int matrix) {
    if (matrix < kPoints) return {matrix, 1, matrix};
    return {matrix, kR == 3 ? kPoints - 1 : 1, matrix - kPoints};
  }

  template <int kGroup, class D, class V = hn::VFromD<D>>
  static HWY_INLINE void input_group(D d, const V* x, V* y) {
    constexpr int kOdd = kGroup / Phase::kGroups;
    V phase[kPoints];
    HWY_UNROLL(8)
    for (int i = 0; i < kPoints; ++i) {
      phase[i] = 2 * i + kOdd < kInputs ? x[2 * i + kOdd] : hn::Zero(d);
    }
    Phase::template input_group<kGroup % Phase::kGroups>(d, phase, y);
  }

  template <class D, class V = hn::VFromD<D>>
  static HWY_INLINE void output(D d, const V* x, V* y) {
    Phase::output(d, x, y);
  }

  template <int kMatrix, class D, class V = hn::VFromD<D>>
  static HWY_INLINE V weight(D d, const V* x) {
    constexpr int kOdd = kMatrix / kPoints, kPhaseTaps = (kR + 1 - kOdd) / 2;
    V phase[kPhaseTaps];
    HWY_UNROLL(8)
    for (int i = 0; i < kPhaseTaps; ++i) phase[i] = x[2 * i + kOdd];
    using Transform = WinogradTransform<kPoints - kPhaseTaps + 1, kPhaseTaps>;
    return Transform::template weight<kMatrix % kPoints>(d, phase);
  }
};

/// An axis of one tap.
template <>
struct WinogradTransform<1, 1> {
  static constexpr WinogradAxis kAxis{};
  static constexpr int kOut = 1, kTaps = 1, kPoints = 1, kInputs = 1, kMatrices = 1;
  static constexpr int kGroups = 1;
  static constexpr int group_size(int) { return 1; }
  static constexpr int product(int, int) { return 0; }
  static constexpr WinogradProducts products(int) { return {0, 1, 0}; }

  template <int kGroup, class D, class V = hn::VFromD<D>>
  static HWY_INLINE void input_group(D, const V* x, V* y) {
    y[0] = x[0];
  }
  template <class D, class V = hn::VFromD<D>>
  static HWY_INLINE void output(D, const V* x, V* y) {
    y[0] = x[0];
  }
  template <int kPoint, class D, class V = hn::VFromD<D>>
  static HWY_INLINE V weight(D, const V* x) {
    return x[0];
  }
};

template <class Transform, int kGroup, class D, class V>
HWY_INLINE void transform_axis_group(D d, const V* x, V* y) {
  V group[2];
  Transform::template input_group<kGroup>(d, x, group);
  for (int i = 0; i < Transform::group_size(kGroup); ++i) {
    y[Transform::product(kGroup, i)] = group[i];
  }
}

template <class Transform, int... kGroups, class D, class V>
HWY_INLINE void transform_axis_groups(D d, const V* x, V* y,
                                      std::integer_sequence<int, kGroups...>) {
  (transform_axis_group<Transform, kGroups>(d, x, y), ...);
}

/// From the inputs of an axis to the factors of its products.
template <class Transform, class D, class V>
HWY_INLINE void transform_axis(D d, const V* x, V* y) {
  transform_axis_groups<Transform>(d, x, y, std::make_integer_sequence<int, Transform::kGroups>());
}

/// The transforms of a form's two axes.
template <class AxisY, class AxisX>
struct Form {
  using Y = AxisY;
  using X = AxisX;
};

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_WINOGRAD_TRANSFORM_INL_H_
