#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/processor.h"

namespace plica {

/// Whether an image has few pixels for each thread.
inline bool has_few_pixels(int64_t pixels, int threads) {
  constexpr int64_t kMinPixels = 64;
  return threads > 1 && pixels < threads * kMinPixels;
}

/// Whether threads share out an image's channels instead of its pixels: where there are so few
/// pixels for each that all of them would read the same weights, of `weights` floats, faster than
/// memory gives them. Kernels that follow one another should agree, since what a thread has written
/// is in its cache; those with few weights of their own say how many a product has beside them.
inline bool shares_channels(int64_t pixels, int threads, int64_t weights) {
  if (!has_few_pixels(pixels, threads)) return false;
  const auto bytes = static_cast<size_t>(weights) * sizeof(float);
  return bytes > processor().common_weights || pixels < threads * processor().fewest_pixels;
}

}  // namespace plica
