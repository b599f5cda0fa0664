#include "engine/kernels/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/softmax.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#include "engine/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr float kLowest = -std::numeric_limits<float>::infinity();
// Terms that are added in float before they join the total.
constexpr int64_t kRun = 32;

// NaNs need no care in the maximum: exp(NaN - max) makes the sum NaN.
HWY_INLINE float RowMax(const float* src, int64_t n) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V a = hn::Set(d, kLowest), b = a;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = hn::Max(a, hn::LoadU(d, src + i));
    b = hn::Max(b, hn::LoadU(d, src + i + lanes));
  }
  for (; i < n; i += lanes) {
    const auto rest = static_cast<size_t>(std::min(lanes, n - i));
    a = hn::Max(a, hn::LoadNOr(hn::Set(d, kLowest), d, src + i, rest));
  }
  return hn::ReduceMax(d, hn::Max(a, b));
}

// Sum of exp(x - max); the terms go to dst if it is not null.
HWY_INLINE float RowExp(const float* src, float max, int64_t n, float* dst) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V m = hn::Set(d, max);
  V total = hn::Zero(d);
  int64_t i = 0;
  while (i + lanes <= n) {
    V sum = hn::Zero(d);
    const int64_t end = std::min(n, i + kRun * lanes);
    for (; i + lanes <= end; i += lanes) {
      const V y = vec_exp(d, hn::Sub(hn::LoadU(d, src + i), m));
      if (dst) hn::StoreU(y, d, dst + i);
      sum = hn::Add(sum, y);
    }
    total = hn::Add(total, sum);
  }
  if (i < n) {
    const auto rest = static_cast<size_t>(n - i);
    const V y = vec_exp(d, hn::Sub(hn::LoadN(d, src + i, rest), m));
    if (dst) hn::StoreN(y, d, dst + i, rest);
    total = hn::Add(total, hn::IfThenElseZero(hn::FirstN(d, rest), y));
  }
  return hn::ReduceSum(d, total);
}

void SoftmaxRow(const float* src, int64_t n, bool log, float* dst) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const float max = RowMax(src, n);
  const float sum = RowExp(src, max, n, log ? nullptr : dst);
  int64_t i = 0;
  if (log) {
    const V m = hn::Set(d, max);
    const V l = hn::Set(d, static_cast<float>(std::log(static_cast<double>(sum))));
    for (; i + lanes <= n; i += lanes) {
      hn::StoreU(hn::Sub(hn::Sub(hn::LoadU(d, src + i), m), l), d, dst + i);
    }
    if (i < n) {
      const auto rest = static_cast<size_t>(n - i);
      hn::StoreN(hn::Sub(hn::Sub(hn::LoadN(d, src + i, rest), m), l), d, dst + i, rest);
    }
    return;
  }
  const V s = hn::Set(d, sum);
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Div(hn::LoadU(d, dst + i), s), d, dst + i);
  if (i < n) {
    const auto rest = static_cast<size_t>(n - i);
    hn::StoreN(hn::Div(hn::LoadN(d, dst + i, rest), s), d, dst + i, rest);
  }
}

// `count` neighbouring columns of n elements each, at most a vector.
HWY_INLINE void Column(const float* src, int64_t src_step, int64_t n, size_t count, bool log,
                       float* dst, int64_t dst_step) {
  const D d;
  V max = hn::Set(d, kLowest);
  for (int64_t i = 0; i < n; ++i) max = hn::Max(max, hn::LoadN(d, src + i * src_step, count));
  V sum = hn::Zero(d);
  for (int64_t begin = 0; begin < n; begin += kRun) {
    V part = hn::Zero(d);
    for (int64_t i = begin; i < std::min(n, begin + kRun); ++i) {
      const V y = vec_exp(d, hn::Sub(hn::LoadN(d, src + i * src_step, count), max));
      if (!log) hn::StoreN(y, d, dst + i * dst_step, count);
      part = hn::Add(part, y);
    }
    sum = hn::Add(sum, part);
  }
  const V l = vec_log(d, sum);
  for (int64_t i = 0; i < n; ++i) {
    const V y = log ? hn::Sub(hn::Sub(hn::LoadN(d, src + i * src_step, count), max), l)
                    : hn::Div(hn::LoadN(d, dst + i * dst_step, count), sum);
    hn::StoreN(y, d, dst + i * dst_step, count);
  }
}

void SoftmaxColumns(const float* src, int64_t src_step, int64_t n, int64_t width, bool log,
                    float* dst, int64_t dst_step) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t c = 0; c < width; c += lanes) {
    const auto count = static_cast<size_t>(std::min(lanes, width - c));
    Column(src + c, src_step, n, count, log, dst + c, dst_step);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(SoftmaxRow);
HWY_EXPORT(SoftmaxColumns);

class SoftmaxKernel final : public Kernel {
 public:
  explicit SoftmaxKernel(const SoftmaxProblem& p) : log_(p.log) {
    choose_target();
    row_ = HWY_DYNAMIC_POINTER(SoftmaxRow);
    columns_ = HWY_DYNAMIC_POINTER(SoftmaxColumns);
    const auto axis = static_cast<size_t>(p.axis);
    along_ = {p.src.shape[axis], p.src.strides[axis], p.dst.strides[axis]};
    if (along_.size == 1) along_.src = along_.dst = 1;
    for (size_t k = 0; k < p.src.shape.size(); ++k) {
      if (k == axis || p.src.shape[k] == 1) continue;
      outer_.push_back({p.src.shape[k], p.src.strides[k], p.dst.strides[k]});
    }
    const auto contiguous = [](const Axis& a) { return a.src == 1 && a.dst == 1; };
    const auto lanes = std::find_if(outer_.begin(), outer_.end(), contiguous);
    if (lanes != outer_.end()) {
      width_ = lanes->size;
      outer_.erase(lanes);
      rows_ = false;
    } else {
      rows_ = contiguous(along_);
    }
    block_ = std::min<int64_t>(width_, 64);
    blocks_ = block_ == 0 ? 0 : ceil_div(width_, block_);
    for (const Axis& a : outer_) outer_size_ *= a.size;
    // Outputs of one task: enough work to be worth handing over.
    group_ = std::max<int64_t>(1, 1024 / std::max<int64_t>(1, along_.size * block_));
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t count = outer_size_ * blocks_;
    if (along_.size == 0) return;
    team.for_each(ceil_div(count, group_), [&](int64_t task, int) {
      const int64_t end = std::min(count, (task + 1) * group_);
      for (int64_t i = task * group_; i < end; ++i) one(args.in[0], args.out[0], i);
    });
  }

 private:
  struct Axis {
    int64_t size, src, dst;
  };

  void one(const float* src, float* dst, int64_t index) const {
    const int64_t begin = index % blocks_ * block_;
    index /= blocks_;
    src += begin;
    dst += begin;
    for (auto axis = outer_.rbegin(); axis != outer_.rend(); ++axis) {
      src += index % axis->size * axis->src;
      dst += index % axis->size * axis->dst;
      index /= axis->size;
    }
    if (rows_) {
      row_(src, along_.size, log_, dst);
    } else {
      columns_(src, along_.src, along_.size, std::min(block_, width_ - begin), log_, dst,
               along_.dst);
    }
  }

  bool log_, rows_ = false;
  void (*row_)(const float*, int64_t, bool, float*);
  void (*columns_)(const float*, int64_t, int64_t, int64_t, bool, float*, int64_t);
  Axis along_;
  std::vector<Axis> outer_;
  int64_t outer_size_ = 1, width_ = 1, block_ = 1, blocks_ = 1, group_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> make_softmax_kernel(const SoftmaxProblem& problem) {
  return std::make_unique<SoftmaxKernel>(problem);
}

}  // namespace plica
#endif  // HWY_ONCE
