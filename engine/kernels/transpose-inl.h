// The transposition that packs weights into panels.

#include <cstdint>

#include "hwy/highway.h"

#if defined(PLICA_ENGINE_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PLICA_ENGINE_KERNELS_TRANSPOSE_INL_H_
#undef PLICA_ENGINE_KERNELS_TRANSPOSE_INL_H_
#else
#define PLICA_ENGINE_KERNELS_TRANSPOSE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// to[j * width + i] = from[i * row + j] for i below `columns` and j below `depth`.
inline void transpose(const float* from, int64_t row, int64_t columns, int64_t depth, int64_t width,
                      float* to) {
  const hn::FixedTag<float, 4> d;
  int64_t i = 0;
  for (; i + 4 <= columns; i += 4, from += 4 * row) {
    int64_t j = 0;
    for (; j + 4 <= depth; j += 4) {
      const auto r0 = hn::LoadU(d, from + j);
      const auto r1 = hn::LoadU(d, from + row + j);
      const auto r2 = hn::LoadU(d, from + 2 * row + j);
      const auto r3 = hn::LoadU(d, from + 3 * row + j);
      const auto even_low = hn::InterleaveLower(d, r0, r2);
      const auto even_high = hn::InterleaveUpper(d, r0, r2);
      const auto odd_low = hn::InterleaveLower(d, r1, r3);
      const auto odd_high = hn::InterleaveUpper(d, r1, r3);
      float* out = to + j * width + i;
      hn::StoreU(hn::InterleaveLower(d, even_low, odd_low), d, out);
      hn::StoreU(hn::InterleaveUpper(d, even_low, odd_low), d, out + width);
      hn::StoreU(hn::InterleaveLower(d, even_high, odd_high), d, out + 2 * width);
      hn::StoreU(hn::InterleaveUpper(d, even_high, odd_high), d, out + 3 * width);
    }
    for (; j < depth; ++j) {
      for (int64_t k = 0; k < 4; ++k) to[j * width + i + k] = from[k * row + j];
    }
  }
  for (; i < columns; ++i, from += row) {
    for (int64_t j = 0; j < depth; ++j) to[j * width + i] = from[j];
  }
}

}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // PLICA_ENGINE_KERNELS_TRANSPOSE_INL_H_
