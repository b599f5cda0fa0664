#pragma once

#include <cstdint>

namespace plica {

/// Whether threads share out an image's channels instead of its pixels: with fewer pixels than this
/// for each, all of them would read the same weights faster than memory gives them. Kernels that
/// follow one another should agree, since what a thread has written is in its cache.
inline bool shares_channels(int64_t pixels, int threads) {
  constexpr int64_t kMinPixels = 64;
  return threads > 1 && pixels < threads * kMinPixels;
}

}  // namespace plica
