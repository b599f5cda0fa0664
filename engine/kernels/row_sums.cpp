#include "engine/kernels/row_sums.h"

#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_sums.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void sum_pixels(const float* HWY_RESTRICT src, int64_t pixels, int64_t pixel, int64_t channels,
                float* HWY_RESTRICT dst) {
  // So many sums hide the latency of an addition.
  constexpr int kVecs = 4;
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + kVecs * lanes <= channels; c += kVecs * lanes) {
    V sum[kVecs];
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) sum[v] = hn::Zero(d);
    const float* from = src + c;
    for (int64_t p = 0; p < pixels; ++p, from += pixel) {
      HWY_UNROLL(32)
      for (int v = 0; v < kVecs; ++v) sum[v] = hn::Add(sum[v], hn::LoadU(d, from + v * lanes));
    }
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) hn::StoreU(sum[v], d, dst + c + v * lanes);
  }
  for (; c < channels; c += lanes) {
    const auto left = static_cast<size_t>(channels - c);
    V sum = hn::Zero(d);
    const float* from = src + c;
    for (int64_t p = 0; p < pixels; ++p, from += pixel) {
      sum = hn::Add(sum, hn::LoadN(d, from, left));
    }
    hn::StoreN(sum, d, dst + c, left);
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(sum_pixels);

SumPixelsFn sum_pixels_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(sum_pixels);
}

}  // namespace plica
#endif  // HWY_ONCE
