#include "engine/kernels/pool_indices.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pool_indices.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#ifndef PLICA_POOL_INDICES_ONCE
#define PLICA_POOL_INDICES_ONCE
namespace plica {
namespace {

/// Three nested loops over the taps of a window, as positions in a plane.
struct TapLoops {
  int64_t first, count[3], step[3];
};
/// One output pixel of an image with its channels, `pixel` floats from one input pixel to the next.
using IndicesFn = void (*)(const float* image, int64_t pixel, const TapLoops& taps,
                           int64_t channels, float* max, float* index);

}  // namespace
}  // namespace plica
#endif  // PLICA_POOL_INDICES_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void MaxWithIndices(const float* image, int64_t pixel, const TapLoops& taps, int64_t channels,
                    float* max, float* index) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const TapLoops t = taps;
  for (int64_t c = 0; c < channels; c += lanes) {
    const auto count = static_cast<size_t>(std::min(lanes, channels - c));
    auto best = hn::Set(d, -std::numeric_limits<float>::infinity());
    auto where = hn::Set(d, static_cast<float>(t.first));
    for (int64_t i = 0; i < t.count[0]; ++i) {
      for (int64_t j = 0; j < t.count[1]; ++j) {
        int64_t at = t.first + i * t.step[0] + j * t.step[1];
        for (int64_t k = 0; k < t.count[2]; ++k, at += t.step[2]) {
          const auto x = hn::LoadN(d, image + at * pixel + c, count);
          const auto better = hn::Or(hn::Gt(x, best), hn::IsNaN(x));
          best = hn::IfThenElse(better, x, best);
          where = hn::IfThenElse(better, hn::Set(d, static_cast<float>(at)), where);
        }
      }
    }
    hn::StoreN(best, d, max + c, count);
    hn::StoreN(where, d, index + c, count);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(MaxWithIndices);

class MaxPoolWithIndices final : public Kernel {
 public:
  explicit MaxPoolWithIndices(PoolProblem problem) : p_(std::move(problem)) {
    choose_target();
    function_ = HWY_DYNAMIC_POINTER(MaxWithIndices);
  }

  /// One task for each row of output pixels.
  void run(const KernelArgs& args, Team& team) const noexcept override {
    const auto depths = static_cast<int64_t>(p_.depth.windows.size());
    const auto heights = static_cast<int64_t>(p_.height.windows.size());
    const auto widths = static_cast<int64_t>(p_.width.windows.size());
    const int64_t h = p_.height.in, w = p_.width.in;
    const int64_t image = p_.depth.in * h * w * p_.src_pixel_stride;
    team.for_each(p_.batch * depths * heights, [&](int64_t row, int) {
      const float* src = args.in[0] + row / (depths * heights) * image;
      const auto& z = p_.depth.windows[static_cast<size_t>(row / heights % depths)];
      const auto& y = p_.height.windows[static_cast<size_t>(row % heights)];
      for (int64_t i = 0; i < widths; ++i) {
        const auto& x = p_.width.windows[static_cast<size_t>(i)];
        const TapLoops taps{(z.first * h + y.first) * w + x.first,
                            {z.count, y.count, x.count},
                            {p_.depth.step * h * w, p_.height.step * w, p_.width.step}};
        const int64_t at = (row * widths + i) * p_.dst_pixel_stride;
        function_(src, p_.src_pixel_stride, taps, p_.channels, args.out[0] + at, args.out[1] + at);
      }
    });
  }

 private:
  PoolProblem p_;
  IndicesFn function_ = nullptr;
};

}  // namespace

std::unique_ptr<Kernel> make_max_pool_with_indices(PoolProblem problem) {
  return std::make_unique<MaxPoolWithIndices>(std::move(problem));
}

}  // namespace plica
#endif  // HWY_ONCE
