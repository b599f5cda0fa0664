#pragma once

#include <algorithm>
#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/support/targets.h"  // IWYU pragma: export

namespace plica::test {

/// |actual - exact| in units of the spacing of floats at `exact`; huge where one of the two is NaN,
/// or where the nearest float is infinite and `actual` is not.
inline double ulps(float actual, double exact) {
  const auto nearest = static_cast<float>(exact);
  if (std::isnan(exact)) return std::isnan(actual) ? 0 : 1e9;
  if (std::isinf(nearest) || !std::isfinite(actual)) return actual == nearest ? 0 : 1e9;
  const int exponent = std::max(std::ilogb(std::max(std::fabs(exact), 1e-300)), -126);
  return std::fabs(actual - exact) / std::ldexp(1.0, exponent - 23);
}

/// x rounded to float. GCC 12 drops the rounding of two neighbours that it vectorises together
/// when they are widened again.
inline float to_float(double x) {
  volatile auto rounded = static_cast<float>(x);
  return rounded;
}

inline bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return same_bits(x, y); });
}

/// A row of n floats at a chosen distance from a vector boundary, between guards.
class GuardedRow {
 public:
  GuardedRow(size_t n, size_t misalignment)
      : n_(n), begin_(kGuard + misalignment), memory_(begin_ + n + kGuard, kFill) {}

  float* data() { return memory_.data() + begin_; }
  float& operator[](size_t i) { return memory_[begin_ + i]; }
  /// Nothing has been written outside of the row.
  bool intact() const {
    const auto untouched = [](float x) { return x == kFill; };
    const auto first = memory_.begin();
    return std::all_of(first, first + static_cast<std::ptrdiff_t>(begin_), untouched) &&
           std::all_of(first + static_cast<std::ptrdiff_t>(begin_ + n_), memory_.end(), untouched);
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr float kFill = -12345.678f;
  size_t n_, begin_;
  std::vector<float> memory_;
};

/// Lengths around every vector length, and primes.
inline constexpr size_t kLengths[] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  11, 15,
                                      16, 17, 19, 31, 32, 33, 35, 61, 67, 131};

}  // namespace plica::test
