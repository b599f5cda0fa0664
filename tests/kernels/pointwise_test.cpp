#include "engine/kernels/pointwise.h"

#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/support/simd.h"
#include "tests/support/single_op.h"

namespace plica {
namespace {

using P = Pointwise;
constexpr double kInf = std::numeric_limits<double>::infinity();

/// A function with a bound on |actual - exact|:
///   ulps * spacing(exact) + relative * |x| + absolute * max(1, |x|)
struct Case {
  Pointwise f;
  double ulps;
  double relative = 0;
  double absolute = 0;
};

/// Sigmoid and its relatives lose what is smaller than the smallest normal float.
constexpr double kDenormal = 1.2e-38;
constexpr double kEps = 0x1p-24;

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{P::kIdentity}, 0},
      {relu(), 0},
      {{P::kClamp, 0, 6}, 0},
      {{P::kClamp, -kInf, 0.5}, 0},
      {{P::kClamp, 2, 1}, 0},
      {{P::kLeakyRelu, 0.01}, 0.5},
      {{P::kLeakyRelu, -2}, 0},
      {{P::kElu, 1, 1}, 2.1},
      {{P::kElu, 1.5, 0.5}, 3.5},
      {{P::kSigmoid}, 3, 0, kDenormal},
      {{P::kTanh}, 3},
      {{P::kSilu}, 3.5, 0, kDenormal},
      // erf's error counts against 1.
      {{P::kGeluErf}, 1, 4 * kEps, kDenormal},
      // The argument of the exponential has 3 roundings; the formula itself cancels below -7.
      {{P::kGeluTanh}, 3, 2 * kEps, kDenormal},
      {{P::kHardswish}, 3},
      {{P::kHardsigmoid}, 2},
      {{P::kSoftplus, 1, 20}, 3},
      {{P::kSoftplus, 2, 10}, 4},
      // Its argument is rounded by less than half an ulp only for powers of two.
      {{P::kSoftplus, -1, kInf}, 3},
      {{P::kMish}, 5, 0, kDenormal},
      {{P::kExp}, 1.1},
      {{P::kLog}, 1},
      {{P::kErf}, 6},
      {{P::kSqrt}, 0.5},
      {{P::kRsqrt}, 1.5},
      {{P::kReciprocal}, 0.5},
      {{P::kAbs}, 0},
      {{P::kNeg}, 0},
      {{P::kSquare}, 0.5},
      {{P::kPow, 1.7}, 1},
      {{P::kPow, 3}, 1},
      {{P::kPow, -0.3}, 1},
      {{P::kPow, 0}, 0},
      {{P::kScale, 0.25, 0}, 0.5},
      {{P::kScale, 1, 0.3}, 0.5},
      {{P::kScale, -0.3, 2}, 0.5, kEps},
      {{P::kSelu, 1.7580993, 1.0507}, 2.6},
      {{P::kExpm1}, 2},
      {{P::kLog1p}, 2},
      {{P::kPowBase, 2}, 1},
      {{P::kPowBase, 0.3}, 1},
      {{P::kGreater, 0.5}, 0},
      {{P::kGreaterEqual, 0.5}, 0},
      {{P::kLess, 0.5}, 0},
      {{P::kLessEqual, 0.5}, 0},
      {{P::kThreshold, 0.5, -3}, 0},
      {{P::kSoftshrink, 0.3}, 0.5},
      {{P::kHardshrink, 0.3}, 0},
      {{P::kSign}, 0},
      {{P::kFloor}, 0},
      {{P::kCeil}, 0},
      {{P::kRound}, 0},
      {{P::kTrunc}, 0},
      {{P::kSin}, 3},
      {{P::kCos}, 3},
      {{P::kLog2}, 2},
      {{P::kLog10}, 2},
      {{P::kEqual, 0.5}, 0},
      {{P::kNotEqual, 0.5}, 0},
  };
  return all;
}

std::vector<float> samples() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 131071) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  for (int i = -24000; i <= 24000; ++i) x.push_back(static_cast<float>(i) / 200.0f);
  const float inf = std::numeric_limits<float>::infinity();
  for (float v : {0.0f, -0.0f, inf, -inf, std::numeric_limits<float>::quiet_NaN()}) x.push_back(v);
  return x;
}

TEST_CASE("every pointwise function has a case", "[pointwise]") {
  for (int kind = 0; kind < kPointwiseCount; ++kind) {
    INFO(name(static_cast<P::Kind>(kind)));
    bool found = false;
    for (const Case& c : cases()) found = found || c.f.kind == kind;
    CHECK(found);
  }
}

TEST_CASE("pointwise rows agree with the float64 formulas on every target", "[pointwise]") {
  const std::vector<float> x = samples();
  test::for_each_target([&] {
    for (const Case& c : cases()) {
      // The kernel has its parameters in float.
      const float a = test::to_float(c.f.a), b = test::to_float(c.f.b);
      const Pointwise f{c.f.kind, a, b};
      std::vector<float> y(x.size());
      row_function(f)(x.data(), y.data(), x.size(), a, b);
      double worst = 0;
      size_t where = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = apply(f, x[i]);
        const double slack = c.relative * std::fabs(x[i]) +
                             c.absolute * std::max(1.0, std::fabs(static_cast<double>(x[i])));
        double error = test::ulps(y[i], exact);
        const double distance = std::fabs(y[i] - exact);
        if (distance > 0 && std::isfinite(distance) && std::isfinite(slack)) {
          error *= std::max(0.0, 1 - slack / distance);
        }
        if (error > worst) worst = error, where = i;
      }
      INFO(to_string(c.f) << " at " << x[where] << ": " << y[where] << ", expected "
                          << apply(f, x[where]));
      CHECK(worst <= c.ulps);
    }
  });
}

TEST_CASE("a pointwise row keeps to its bounds, and an element's bits are its own", "[pointwise]") {
  test::for_each_target([&] {
    for (const Case& c : cases()) {
      INFO(to_string(c.f));
      const RowFunction row = row_function(c.f);
      const float a = test::to_float(c.f.a), b = test::to_float(c.f.b);
      const auto value = [](size_t i) { return static_cast<float>(i % 37) * 0.61f - 9.3f; };
      std::vector<float> alone(256);
      for (size_t i = 0; i < alone.size(); ++i) {
        const float x = value(i);
        row(&x, &alone[i], 1, a, b);
      }
      for (const size_t n : test::kLengths) {
        for (const size_t misalignment : {0, 1, 3}) {
          test::GuardedRow src(n, misalignment), dst(n, 5 - misalignment);
          for (size_t i = 0; i < n; ++i) src[i] = value(i);
          row(src.data(), dst.data(), n, a, b);
          bool same = true;
          for (size_t i = 0; i < n; ++i) same = same && test::same_bits(dst[i], alone[i]);
          row(src.data(), src.data(), n, a, b);
          for (size_t i = 0; i < n; ++i) same = same && test::same_bits(src[i], alone[i]);
          CHECK(same);
          CHECK(src.intact());
          CHECK(dst.intact());
        }
      }
    }
  });
}

TEST_CASE("pointwise operators take any memory", "[pointwise]") {
  const Shape shape{3, 5, 67, 101};
  std::vector<float> x(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 1009) * 0.01f - 5;
  testing::SingleOp op("aten.tanh.default", {{"self", TensorRef{"0"}}}, {shape});
  const auto expected = op.run({x}, {row_major(shape)});
  const Array reference = op.reference({x})[0];
  for (size_t i = 0; i < x.size(); ++i) {
    if (test::ulps(expected[0][i], reference.data[i]) > 3) FAIL("element " << i);
  }
  TensorDesc rows = channels_last(shape);
  for (int64_t& stride : rows.strides) stride = stride == 1 ? 1 : stride / 5 * 8;
  TensorDesc sparse = row_major(shape);
  for (int64_t& stride : sparse.strides) stride *= 3;
  for (const TensorDesc& desc : {row_major(shape), channels_last(shape), rows, sparse}) {
    for (const int threads : {1, 4}) {
      CHECK(op.run({x}, {desc}, threads) == expected);
    }
  }
}

}  // namespace
}  // namespace plica
