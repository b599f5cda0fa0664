#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "tests/support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/kernels/math_test.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.
#include "engine/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {

#define PLICA_UNARY(function)                                                         \
  void row_##function(const float* src, float* dst, size_t n) {                       \
    const hn::ScalableTag<float> d;                                                   \
    for (size_t i = 0; i < n; i += hn::Lanes(d)) {                                    \
      hn::StoreN(vec_##function(d, hn::LoadN(d, src + i, n - i)), d, dst + i, n - i); \
    }                                                                                 \
  }
PLICA_UNARY(exp)
PLICA_UNARY(expm1)
PLICA_UNARY(expm1_negative)
PLICA_UNARY(log)
PLICA_UNARY(log1p)
PLICA_UNARY(sigmoid)
PLICA_UNARY(tanh)
PLICA_UNARY(erf)
PLICA_UNARY(log2)
PLICA_UNARY(log10)
PLICA_UNARY(sin)
PLICA_UNARY(cos)
#undef PLICA_UNARY

void row_pow(const float* x, const float* y, float* dst, size_t n) {
  const hn::ScalableTag<float> d;
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto result = vec_pow(d, hn::LoadN(d, x + i, n - i), hn::LoadN(d, y + i, n - i));
    hn::StoreN(result, d, dst + i, n - i);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

using test::for_each_target;
using test::ulps;

HWY_EXPORT(row_exp);
HWY_EXPORT(row_expm1);
HWY_EXPORT(row_expm1_negative);
HWY_EXPORT(row_log);
HWY_EXPORT(row_log1p);
HWY_EXPORT(row_sigmoid);
HWY_EXPORT(row_tanh);
HWY_EXPORT(row_erf);
HWY_EXPORT(row_log2);
HWY_EXPORT(row_log10);
HWY_EXPORT(row_sin);
HWY_EXPORT(row_cos);
HWY_EXPORT(row_pow);

/// Every 4099th float of either sign, and all the landmarks.
std::vector<float> samples() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 4099) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  const float inf = std::numeric_limits<float>::infinity();
  for (float v : {0.0f,
                  1e-45f,
                  1.1754942e-38f,
                  1.1754944e-38f,
                  1e-7f,
                  0.25f,
                  0.34657359f,
                  0.5f,
                  0.7071067f,
                  1.0f,
                  1.4142135f,
                  2.0f,
                  3.0f,
                  3.95f,
                  20.0f,
                  87.33654f,
                  88.37f,
                  88.722839f,
                  88.72284f,
                  103.27f,
                  103.9721f,
                  104.0f,
                  16777216.0f,
                  3.4028235e38f,
                  inf,
                  std::numeric_limits<float>::quiet_NaN()}) {
    for (float w : {v, std::nextafterf(v, -inf), std::nextafterf(v, inf)}) {
      x.push_back(w);
      x.push_back(-w);
    }
  }
  // The ranges where the functions do not saturate, densely.
  for (int i = -220000; i <= 220000; ++i) x.push_back(static_cast<float>(i) * 0.0005f);
  return x;
}

using Row = void (*)(const float*, float*, size_t);

/// `skip(x)`: outside the range that the function promises.
template <typename Pick, typename Exact, typename Skip>
void check(const char* name, double bound, Pick pick, Exact exact, Skip skip) {
  static const std::vector<float> x = samples();
  for_each_target([&] {
    const Row row = pick();
    std::vector<float> y(x.size());
    row(x.data(), y.data(), x.size());
    double worst = 0;
    float where = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      if (skip(x[i])) continue;
      const double error = ulps(y[i], exact(static_cast<double>(x[i])));
      if (error > worst) worst = error, where = x[i];
    }
    INFO(name << " at " << where);
    CHECK(worst <= bound);
  });
}

const auto nowhere = [](float) { return false; };

#define PLICA_PICK(function) [] { return HWY_DYNAMIC_POINTER(function); }

TEST_CASE("vector exp, log and relatives keep their error bounds on every target", "[math]") {
  check(
      "exp", 1.1, PLICA_PICK(row_exp), [](double x) { return std::exp(x); }, nowhere);
  check(
      "expm1", 2, PLICA_PICK(row_expm1), [](double x) { return std::expm1(x); }, nowhere);
  check(
      "expm1_negative", 2, PLICA_PICK(row_expm1_negative), [](double x) { return std::expm1(x); },
      [](float x) { return x > 0; });
  check(
      "log", 1, PLICA_PICK(row_log), [](double x) { return std::log(x); }, nowhere);
  check(
      "log1p", 2, PLICA_PICK(row_log1p), [](double x) { return std::log1p(x); }, nowhere);
  check(
      "log2", 2, PLICA_PICK(row_log2), [](double x) { return std::log2(x); }, nowhere);
  check(
      "log10", 2, PLICA_PICK(row_log10), [](double x) { return std::log10(x); }, nowhere);
  for_each_target([&] {
    for (int e = -149; e <= 127; ++e) {
      const float x = std::ldexp(1.0f, e);
      float y = 0;
      HWY_DYNAMIC_DISPATCH(row_log2)(&x, &y, 1);
      CHECK(y == static_cast<float>(e));
    }
  });
}

/// Floats next to multiples of pi / 2, where little is left of the argument.
std::vector<float> near_quarter_turns() {
  std::vector<float> x;
  for (int64_t i = 1; i < 84000; ++i) {
    const auto nearest = static_cast<float>(static_cast<double>(i) * 1.57079632679489662);
    for (float v : {nearest, std::nextafterf(nearest, 0), std::nextafterf(nearest, 1e9f)}) {
      x.push_back(i % 2 ? v : -v);
    }
  }
  return x;
}

TEST_CASE("vector sine and cosine keep their error bounds on every target", "[math]") {
  const auto sine = [](double x) { return std::sin(x); };
  const auto cosine = [](double x) { return std::cos(x); };
  check("sin", 3, PLICA_PICK(row_sin), sine, nowhere);
  check("cos", 3, PLICA_PICK(row_cos), cosine, nowhere);
  const std::vector<float> x = near_quarter_turns();
  std::vector<float> y(x.size());
  for_each_target([&] {
    double worst = 0;
    HWY_DYNAMIC_DISPATCH(row_sin)(x.data(), y.data(), x.size());
    for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, ulps(y[i], sine(x[i])));
    HWY_DYNAMIC_DISPATCH(row_cos)(x.data(), y.data(), x.size());
    for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, ulps(y[i], cosine(x[i])));
    CHECK(worst <= 3);
    // The bits of a lane do not depend on one that has to be done by itself.
    float alone = 0;
    const std::vector<float> mixed{1e9f, 2.5f, 3e38f, 0.0f, -7.0f, 131073.0f, 100.0f, 1e6f};
    std::vector<float> together(mixed.size());
    HWY_DYNAMIC_DISPATCH(row_sin)(mixed.data(), together.data(), mixed.size());
    for (size_t i = 0; i < mixed.size(); ++i) {
      HWY_DYNAMIC_DISPATCH(row_sin)(&mixed[i], &alone, 1);
      CHECK(test::same_bits(alone, together[i]));
      CHECK(std::fabs(together[i]) <= 1);
    }
  });
}

TEST_CASE("vector sigmoid, tanh and erf keep their error bounds on every target", "[math]") {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  check("sigmoid", 4, PLICA_PICK(row_sigmoid), sigmoid, [](float x) { return x < -87; });
  check("sigmoid below", 1e-38 / 1.4e-45, PLICA_PICK(row_sigmoid), sigmoid,
        [](float x) { return x >= -87; });
  check(
      "tanh", 3, PLICA_PICK(row_tanh), [](double x) { return std::tanh(x); }, nowhere);
  check(
      "erf", 6, PLICA_PICK(row_erf), [](double x) { return std::erf(x); }, nowhere);
}

TEST_CASE("vector pow keeps its error bound and C's special cases on every target", "[math]") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> bases, exponents;
  const std::vector<float> special = {0.0f,  1e-45f, 1e-38f, 0.3f, 0.5f,        0.99999994f,
                                      1.0f,  1.5f,   2.0f,   3.0f, 16777215.0f, 16777216.0f,
                                      1e10f, 3e38f,  inf,    nan};
  for (float x : special) {
    for (float y : special) {
      for (float sx : {1.0f, -1.0f}) {
        for (float sy : {1.0f, -1.0f}) bases.push_back(sx * x), exponents.push_back(sy * y);
      }
    }
  }
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 65539) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    for (float y : {-2.7f, -0.5f, 0.3333f, 1.1f, 3.0f}) bases.push_back(x), exponents.push_back(y);
  }
  for_each_target([&] {
    std::vector<float> actual(bases.size());
    HWY_DYNAMIC_DISPATCH(row_pow)(bases.data(), exponents.data(), actual.data(), bases.size());
    double worst = 0;
    size_t where = 0;
    for (size_t i = 0; i < bases.size(); ++i) {
      const double exact = std::pow(static_cast<double>(bases[i]), exponents[i]);
      const double error = ulps(actual[i], exact);
      if (error > worst) worst = error, where = i;
    }
    INFO(bases[where] << " ^ " << exponents[where] << " = " << actual[where]);
    CHECK(worst <= 1);
  });
}

}  // namespace
}  // namespace plica
#endif  // HWY_ONCE
