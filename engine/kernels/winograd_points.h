#pragma once

#include <array>

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

}  // namespace plica
