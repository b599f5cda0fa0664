#include "engine/kernels/grid_sample.h"

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/grid_sample.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// dst[i] = sum of weight[k] * src[k][i], k < 4.
void BlendFour(const float* const* src, const float* weight, int64_t n, float* HWY_RESTRICT dst) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const float *a = src[0], *b = src[1], *c = src[2], *e = src[3];
  const auto wa = hn::Set(d, weight[0]), wb = hn::Set(d, weight[1]);
  const auto wc = hn::Set(d, weight[2]), we = hn::Set(d, weight[3]);
  const auto blend = [=](auto load) HWY_ATTR {
    const auto y = hn::MulAdd(wb, load(b), hn::Mul(wa, load(a)));
    return hn::MulAdd(we, load(e), hn::MulAdd(wc, load(c), y));
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(blend([=](const float* p) HWY_ATTR { return hn::LoadU(d, p + i); }), d, dst + i);
  }
  if (i == n) return;
  const auto rest = static_cast<size_t>(n - i);
  hn::StoreN(blend([=](const float* p) HWY_ATTR { return hn::LoadN(d, p + i, rest); }), d, dst + i,
             rest);
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(BlendFour);

class GridSampleKernel final : public Kernel {
 public:
  explicit GridSampleKernel(const GridSampleProblem& problem)
      : p_(problem), outside_(static_cast<size_t>(problem.c) * sizeof(float)) {
    choose_target();
    blend_ = HWY_DYNAMIC_POINTER(BlendFour);
    // A task should outweigh the cost of handing it to a thread.
    rows_per_task_ = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, p_.out_w * p_.c));
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t rows = p_.n * p_.out_h;
    team.for_each(ceil_div(rows, rows_per_task_), [&](int64_t task, int) {
      const int64_t end = std::min(rows, (task + 1) * rows_per_task_);
      for (int64_t row = task * rows_per_task_; row < end; ++row) {
        const int64_t first = row * p_.out_w;
        sample(args.in[0] + row / p_.out_h * p_.in_h * p_.in_w * p_.src_pixel_stride,
               args.in[1] + first * 2, args.out[0] + first * p_.dst_pixel_stride);
      }
    });
  }

 private:
  /// One row of samples.
  void sample(const float* image, const float* grid, float* dst) const {
    for (int64_t i = 0; i < p_.out_w; ++i, grid += 2, dst += p_.dst_pixel_stride) {
      const GridTaps<float> taps(p_.rule, grid[0], grid[1], p_.in_h, p_.in_w);
      const float* src[4];
      for (int k = 0; k < 4; ++k) {
        src[k] =
            taps.offset[k] < 0 ? outside_.floats() : image + taps.offset[k] * p_.src_pixel_stride;
      }
      if (p_.rule.nearest) {
        std::copy_n(src[0], p_.c, dst);
      } else {
        blend_(src, taps.weight, p_.c, dst);
      }
    }
  }

  GridSampleProblem p_;
  AlignedBuffer outside_;  ///< A pixel of zeros.
  void (*blend_)(const float* const*, const float*, int64_t, float*) = nullptr;
  int64_t rows_per_task_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> make_grid_sample(const GridSampleProblem& problem) {
  return std::make_unique<GridSampleKernel>(problem);
}

}  // namespace plica
#endif  // HWY_ONCE
