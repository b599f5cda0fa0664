#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/base/fail.h"
#include "engine/kernels/resample.h"

// The filters of upsampling operators, as PyTorch has them. `scale` is the number of input
// positions from one output position to the next.

namespace plica {

inline double triangle(double x) { return std::max(0.0, 1 - std::fabs(x)); }

/// Keys' cubic convolution: 1 at 0, 0 at all other whole numbers and beyond 2.
inline double cubic(double x, double a) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// Bicubic interpolation: four taps, of which those beyond an end are at the end.
inline ResampleAxis cubic_filter(int64_t in, int64_t out, double scale, bool align_corners) {
  ResampleAxis filter{in, out, 4, {}, {}};
  for (int64_t i = 0; i < out; ++i) {
    const auto at = static_cast<double>(i);
    const double source = align_corners ? scale * at : scale * (at + 0.5) - 0.5;
    const auto floor =
        static_cast<int64_t>(std::clamp(std::floor(source), -1.0, static_cast<double>(in - 1)));
    const double t = std::clamp(source - static_cast<double>(floor), 0.0, 1.0);
    for (int64_t k = -1; k <= 2; ++k) {
      filter.position.push_back(std::clamp<int64_t>(floor + k, 0, in - 1));
      filter.weight.push_back(cubic(static_cast<double>(k) - t, -0.75));
    }
  }
  return filter;
}

/// Smooths before it makes smaller: `kernel`, 0 beyond `radius`, is made wider by the scale.
inline ResampleAxis smoothing_filter(int64_t in, int64_t out, double scale, double radius,
                                     double (*kernel)(double)) {
  require(scale < 1e15, ErrorCode::kInvalid, "upsample: ", scale, " inputs for each output");
  const double width = std::max(scale, 1.0);
  std::vector<std::pair<int64_t, std::vector<double>>> all;
  size_t taps = 1;
  for (int64_t i = 0; i < out; ++i) {
    const double center = scale * (static_cast<double>(i) + 0.5);
    const double size = static_cast<double>(in);
    const auto first =
        static_cast<int64_t>(std::clamp(center - radius * width + 0.5, 0.0, size - 1));
    const auto end = static_cast<int64_t>(std::clamp(center + radius * width + 0.5, 1.0, size));
    require(static_cast<double>(end - first) * static_cast<double>(out) < 0x1p28,
            ErrorCode::kUnsupported, "upsample: ", end - first, " inputs for each of ", out,
            " outputs");
    std::vector<double> weights;
    double total = 0;
    for (int64_t at = first; at < end; ++at) {
      weights.push_back(kernel((static_cast<double>(at) - center + 0.5) / width));
      total += weights.back();
    }
    for (double& weight : weights) weight = total != 0 ? weight / total : weight;
    taps = std::max(taps, weights.size());
    all.emplace_back(first, std::move(weights));
  }
  ResampleAxis filter{in, out, static_cast<int64_t>(taps), {}, {}};
  for (const auto& [first, weights] : all) {
    for (size_t k = 0; k < taps; ++k) {
      const bool is_tap = k < weights.size();
      filter.position.push_back(is_tap ? first + static_cast<int64_t>(k) : first);
      filter.weight.push_back(is_tap ? weights[k] : 0);
    }
  }
  return filter;
}

}  // namespace plica
