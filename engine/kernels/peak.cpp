#include "engine/kernels/peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/peak.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Two units with a latency of four cycles need eight accumulators; the more, the smaller the part
// of the loop's own instructions. With the sources they must fit the registers.
constexpr int kAccumulators = HWY_TARGET <= HWY_AVX3 ? 24 : 12;

double multiply_add(int64_t iterations, float* numbers) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const V a[3] = {hn::Set(d, numbers[0]), hn::Set(d, numbers[1]), hn::Set(d, numbers[2])};
  const V b = hn::Set(d, numbers[3]);
  V sums[kAccumulators];
  // No two alike, or the compiler computes only one of them.
  HWY_UNROLL(24)
  for (int i = 0; i < kAccumulators; ++i) sums[i] = hn::Set(d, numbers[0] + static_cast<float>(i));
  for (int64_t n = 0; n < iterations; ++n) {
    HWY_UNROLL(24)
    for (int i = 0; i < kAccumulators; ++i) sums[i] = hn::MulAdd(a[i % 3], b, sums[i]);
  }
  V total = hn::Zero(d);
  HWY_UNROLL(24)
  for (int i = 0; i < kAccumulators; ++i) total = hn::Add(total, sums[i]);
  numbers[4] = hn::ReduceSum(d, total);
  return 2.0 * kAccumulators * static_cast<double>(hn::Lanes(d)) * static_cast<double>(iterations);
}

float read(const float* data, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  for (size_t i = 0; i + 8 * lanes <= count; i += 8 * lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, data + i));
    s1 = hn::Add(s1, hn::LoadU(d, data + i + lanes));
    s2 = hn::Add(s2, hn::LoadU(d, data + i + 2 * lanes));
    s3 = hn::Add(s3, hn::LoadU(d, data + i + 3 * lanes));
    s4 = hn::Add(s4, hn::LoadU(d, data + i + 4 * lanes));
    s5 = hn::Add(s5, hn::LoadU(d, data + i + 5 * lanes));
    s6 = hn::Add(s6, hn::LoadU(d, data + i + 6 * lanes));
    s7 = hn::Add(s7, hn::LoadU(d, data + i + 7 * lanes));
  }
  const auto sum =
      hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), hn::Add(hn::Add(s4, s5), hn::Add(s6, s7)));
  return hn::ReduceSum(d, sum);
}

const char* target() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read);
HWY_EXPORT(target);

double multiply_add_operations(int64_t iterations, float* numbers) {
  return HWY_DYNAMIC_DISPATCH(multiply_add)(iterations, numbers);
}

float read_floats(const float* data, size_t count) {
  return HWY_DYNAMIC_DISPATCH(read)(data, count);
}

const char* peak_target() { return HWY_DYNAMIC_DISPATCH(target)(); }

}  // namespace plica
#endif  // HWY_ONCE
