#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace plica {

/// Polynomials are evaluated at 0, at pairs p and -p, and at infinity. These pairs give the
/// smallest rounding errors among those whose products of squares float32 holds exactly.
template <int kPairs>
inline constexpr std::array<double, kPairs> kWinogradPairs = {};
template <>
inline constexpr std::array<double, 1> kWinogradPairs<1> = {1};
template <>
inline constexpr std::array<double, 2> kWinogradPairs<2> = {0.625, 1.5};
template <>
inline constexpr std::array<double, 3> kWinogradPairs<3> = {0.5, 1, 1.875};
template <>
inline constexpr std::array<double, 4> kWinogradPairs<4> = {0.375, 0.875, 1.25, 2.375};

/// Point `i` of `points`, which are numbered 0, p, -p, q, -q .. infinity; not the last one.
inline double winograd_point(int64_t points, int64_t i) {
  constexpr std::span<const double> kPairs[] = {
      {}, kWinogradPairs<1>, kWinogradPairs<2>, kWinogradPairs<3>, kWinogradPairs<4>};
  if (i == 0) return 0;
  const double p = kPairs[points / 2 - 1][static_cast<size_t>((i - 1) / 2)];
  return i % 2 == 1 ? p : -p;
}

}  // namespace plica
