#include "engine/kernels/select.h"

#include <algorithm>

#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/select.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Select(const float* condition, const float* x, const float* y, float* dst, int64_t n,
            const SelectSteps& steps) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto [step_c, step_x, step_y] = steps;
  const auto zero = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto load = [&](const float* p, int64_t step)
                          HWY_ATTR { return step ? hn::LoadU(d, p + i) : hn::Set(d, *p); };
    const auto is_zero = hn::Eq(load(condition, step_c), zero);
    hn::StoreU(hn::IfThenElse(is_zero, load(y, step_y), load(x, step_x)), d, dst + i);
  }
  for (; i < n; ++i) dst[i] = condition[i * step_c] != 0 ? x[i * step_x] : y[i * step_y];
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(Select);

}  // namespace

SelectRow select_row() {
  choose_target();
  return HWY_DYNAMIC_POINTER(Select);
}

}  // namespace plica
#endif  // HWY_ONCE
