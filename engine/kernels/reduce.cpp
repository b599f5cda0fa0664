#include "engine/kernels/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/reduce.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DD = hn::ScalableTag<double>;
using DF = hn::Rebind<float, DD>;
using VD = hn::Vec<DD>;

template <Reducer kReducer>
HWY_INLINE double Neutral() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return kReducer == Reducer::kMax ? -kInf : kReducer == Reducer::kMin ? kInf : 0;
}

template <Reducer kReducer>
HWY_INLINE VD Tap(VD acc, VD x, VD center) {
  if constexpr (kReducer == Reducer::kSum) return hn::Add(acc, x);
  if constexpr (kReducer == Reducer::kSquaredDeviation) {
    const VD deviation = hn::Sub(x, center);
    return hn::MulAdd(deviation, deviation, acc);
  }
  if constexpr (kReducer == Reducer::kMax) {
    return hn::IfThenElse(hn::Or(hn::IsNaN(x), hn::Gt(x, acc)), x, acc);
  }
  return hn::IfThenElse(hn::Or(hn::IsNaN(x), hn::Lt(x, acc)), x, acc);
}

// Of two partial results.
template <Reducer kReducer>
HWY_INLINE VD Merge(VD a, VD b) {
  if constexpr (kReducer == Reducer::kSquaredDeviation) return hn::Add(a, b);
  return Tap<kReducer>(a, b, b);
}

template <Reducer kReducer>
HWY_INLINE double TapOne(double acc, double x, double center) {
  if (kReducer == Reducer::kSum) return acc + x;
  if (kReducer == Reducer::kSquaredDeviation) return acc + (x - center) * (x - center);
  if (x != x) return x;
  if (kReducer == Reducer::kMax) return x > acc ? x : acc;
  return x < acc ? x : acc;
}

// The loops of a nest but the innermost, as one offset at a time.
struct Odometer {
  int64_t index[LoopNest::kMax] = {};
  int64_t offset = 0;
  // False after the last position.
  HWY_INLINE bool Next(const LoopNest& nest) {
    for (int k = nest.count - 2; k >= 0; --k) {
      offset += nest.stride[k];
      if (++index[k] < nest.size[k]) return true;
      offset -= nest.size[k] * nest.stride[k];
      index[k] = 0;
    }
    return false;
  }
};

template <Reducer kReducer, int kVectors, bool kPart>
HWY_INLINE void LaneBlock(const float* src, const LoopNest& nest, size_t part, const double* center,
                          double* dst) {
  const DD dd;
  const DF df;
  const size_t lanes = hn::Lanes(dd);
  VD acc[kVectors], mid[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    acc[v] = hn::Set(dd, Neutral<kReducer>());
    mid[v] = hn::Zero(dd);
    if (kReducer == Reducer::kSquaredDeviation) {
      mid[v] = kPart ? hn::LoadN(dd, center, part) : hn::LoadU(dd, center + v * lanes);
    }
  }
  const int64_t inner = nest.count ? nest.size[nest.count - 1] : 1;
  const int64_t step = nest.count ? nest.stride[nest.count - 1] : 0;
  Odometer odometer;
  do {
    const float* p = src + odometer.offset;
    for (int64_t i = 0; i < inner; ++i, p += step) {
      for (int v = 0; v < kVectors; ++v) {
        const auto x = kPart ? hn::LoadN(df, p, part) : hn::LoadU(df, p + v * lanes);
        acc[v] = Tap<kReducer>(acc[v], hn::PromoteTo(dd, x), mid[v]);
      }
    }
  } while (odometer.Next(nest));
  for (int v = 0; v < kVectors; ++v) {
    if (kPart) {
      hn::StoreN(acc[v], dd, dst, part);
    } else {
      hn::StoreU(acc[v], dd, dst + v * lanes);
    }
  }
}

template <Reducer kReducer>
void LanesOf(const float* src, const LoopNest& nest, int64_t width, const double* center,
             double* dst) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(DD()));
  if (nest.elements() == 0) {
    for (int64_t i = 0; i < width; ++i) dst[i] = Neutral<kReducer>();
    return;
  }
  int64_t i = 0;
  const auto middle = [&] { return kReducer == Reducer::kSquaredDeviation ? center + i : center; };
  for (; i + 8 * lanes <= width; i += 8 * lanes) {
    LaneBlock<kReducer, 8, false>(src + i, nest, 0, middle(), dst + i);
  }
  for (; i + lanes <= width; i += lanes) {
    LaneBlock<kReducer, 1, false>(src + i, nest, 0, middle(), dst + i);
  }
  if (i < width) {
    LaneBlock<kReducer, 1, true>(src + i, nest, static_cast<size_t>(width - i), middle(), dst + i);
  }
}

template <Reducer kReducer>
double RunOf(const float* src, const LoopNest& nest, double center) {
  const DD dd;
  const DF df;
  const auto lanes = static_cast<int64_t>(hn::Lanes(dd));
  if (nest.elements() == 0) return Neutral<kReducer>();
  const int64_t inner = nest.count ? nest.size[nest.count - 1] : 1;
  const int64_t step = nest.count ? nest.stride[nest.count - 1] : 1;
  const VD neutral = hn::Set(dd, Neutral<kReducer>());
  const VD mid = hn::Set(dd, center);
  VD a = neutral, b = neutral, c = neutral, d = neutral;
  double rest = Neutral<kReducer>();
  Odometer odometer;
  do {
    const float* p = src + odometer.offset;
    int64_t i = 0;
    if (step == 1) {
      for (; i + 4 * lanes <= inner; i += 4 * lanes) {
        a = Tap<kReducer>(a, hn::PromoteTo(dd, hn::LoadU(df, p + i)), mid);
        b = Tap<kReducer>(b, hn::PromoteTo(dd, hn::LoadU(df, p + i + lanes)), mid);
        c = Tap<kReducer>(c, hn::PromoteTo(dd, hn::LoadU(df, p + i + 2 * lanes)), mid);
        d = Tap<kReducer>(d, hn::PromoteTo(dd, hn::LoadU(df, p + i + 3 * lanes)), mid);
      }
      for (; i + lanes <= inner; i += lanes) {
        a = Tap<kReducer>(a, hn::PromoteTo(dd, hn::LoadU(df, p + i)), mid);
      }
    }
    for (; i < inner; ++i) {
      rest = TapOne<kReducer>(rest, static_cast<double>(p[i * step]), center);
    }
  } while (odometer.Next(nest));
  HWY_ALIGN double partial[HWY_MAX_BYTES / sizeof(double)];
  hn::Store(Merge<kReducer>(Merge<kReducer>(a, b), Merge<kReducer>(c, d)), dd, partial);
  for (int64_t i = 0; i < lanes; ++i) {
    // Partial results are merged as if they were elements; squares must not be squared again.
    constexpr Reducer kMerge = kReducer == Reducer::kSquaredDeviation ? Reducer::kSum : kReducer;
    rest = TapOne<kMerge>(rest, partial[i], 0);
  }
  return rest;
}

void Lanes(Reducer reducer, const float* src, const LoopNest& nest, int64_t width,
           const double* center, double* dst) {
  switch (reducer) {
    case Reducer::kSum:
      return LanesOf<Reducer::kSum>(src, nest, width, center, dst);
    case Reducer::kSquaredDeviation:
      return LanesOf<Reducer::kSquaredDeviation>(src, nest, width, center, dst);
    case Reducer::kMax:
      return LanesOf<Reducer::kMax>(src, nest, width, center, dst);
    case Reducer::kMin:
      return LanesOf<Reducer::kMin>(src, nest, width, center, dst);
  }
}

double Run(Reducer reducer, const float* src, const LoopNest& nest, double center) {
  switch (reducer) {
    case Reducer::kSum:
      return RunOf<Reducer::kSum>(src, nest, center);
    case Reducer::kSquaredDeviation:
      return RunOf<Reducer::kSquaredDeviation>(src, nest, center);
    case Reducer::kMax:
      return RunOf<Reducer::kMax>(src, nest, center);
    default:
      return RunOf<Reducer::kMin>(src, nest, center);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(Lanes);
HWY_EXPORT(Run);

struct Axis {
  int64_t size, src, dst;
};

/// Slowest first; axes that continue each other in both memories become one.
std::vector<Axis> merged(std::vector<Axis> axes) {
  std::stable_sort(axes.begin(), axes.end(),
                   [](const Axis& a, const Axis& b) { return a.src > b.src; });
  std::vector<Axis> result;
  for (const Axis& axis : axes) {
    if (axis.size == 1) continue;
    if (!result.empty() && result.back().src == axis.src * axis.size &&
        result.back().dst == axis.dst * axis.size) {
      result.back() = {result.back().size * axis.size, axis.src, axis.dst};
    } else {
      result.push_back(axis);
    }
  }
  return result;
}

class ReduceKernel final : public Kernel {
 public:
  explicit ReduceKernel(const ReduceProblem& p)
      : kind_(p.kind), correction_(p.correction), functions_(reduce_functions()) {
    std::vector<Axis> kept, reduced;
    for (size_t k = 0; k < p.src.shape.size(); ++k) {
      if (p.reduced[k]) {
        reduced.push_back({p.src.shape[k], p.src.strides[k], 0});
      } else {
        kept.push_back({p.src.shape[k], p.src.strides[k], p.dst.strides[k]});
      }
    }
    for (const Axis& axis : merged(reduced)) nest_.push(axis.size, axis.src);
    elements_ = nest_.elements();
    outer_ = merged(kept);
    const auto lane_axis = std::find_if(outer_.begin(), outer_.end(), [](const Axis& axis) {
      return axis.src == 1 && axis.dst == 1;
    });
    if (lane_axis != outer_.end()) {
      width_ = lane_axis->size;
      outer_.erase(lane_axis);
      block_ = std::min<int64_t>(width_, kBlock);
    } else {
      // Outputs of one task: enough work to be worth handing over.
      block_ = std::clamp<int64_t>(4096 / std::max<int64_t>(elements_, 1), 1, kBlock);
    }
    for (const Axis& axis : outer_) outer_size_ *= axis.size;
    blocks_ = width_ < 0    ? ceil_div(outer_size_, block_)
              : width_ == 0 ? 0
                            : ceil_div(width_, block_);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* src = args.in[0];
    float* dst = args.out[0];
    if (width_ < 0) {
      team.for_each(blocks_, [&](int64_t task, int) {
        const int64_t end = std::min(outer_size_, (task + 1) * block_);
        for (int64_t i = task * block_; i < end; ++i) {
          const Axis at = offsets(i);
          dst[at.dst] = one(src + at.src);
        }
      });
      return;
    }
    team.for_each(outer_size_ * blocks_, [&](int64_t task, int) {
      const Axis at = offsets(task / blocks_);
      const int64_t begin = task % blocks_ * block_;
      many(src + at.src + begin, std::min(block_, width_ - begin), dst + at.dst + begin);
    });
  }

 private:
  using Kind = ReduceProblem::Kind;
  static constexpr int64_t kBlock = 256;

  Axis offsets(int64_t index) const {
    Axis at{0, 0, 0};
    for (auto axis = outer_.rbegin(); axis != outer_.rend(); ++axis) {
      at.src += index % axis->size * axis->src;
      at.dst += index % axis->size * axis->dst;
      index /= axis->size;
    }
    return at;
  }

  bool needs_center() const { return kind_ == Kind::kVariance || kind_ == Kind::kDeviation; }

  Reducer reducer() const {
    if (kind_ == Kind::kMax) return Reducer::kMax;
    if (kind_ == Kind::kMin) return Reducer::kMin;
    // A Euclidean norm deviates from 0.
    return needs_center() || kind_ == Kind::kNorm ? Reducer::kSquaredDeviation : Reducer::kSum;
  }

  float finish(double value) const {
    const auto n = static_cast<double>(elements_);
    if (kind_ == Kind::kMean) value /= n;
    if (needs_center()) value /= std::max(0.0, n - correction_);
    if (kind_ == Kind::kDeviation || kind_ == Kind::kNorm) value = std::sqrt(value);
    return static_cast<float>(value);
  }

  float one(const float* src) const {
    double center = 0;
    if (needs_center()) {
      center = functions_.run(Reducer::kSum, src, nest_, 0) / static_cast<double>(elements_);
    }
    return finish(functions_.run(reducer(), src, nest_, center));
  }

  void many(const float* src, int64_t width, float* dst) const {
    double center[kBlock], result[kBlock];
    if (needs_center()) {
      functions_.lanes(Reducer::kSum, src, nest_, width, nullptr, center);
      for (int64_t i = 0; i < width; ++i) center[i] /= static_cast<double>(elements_);
    } else {
      std::fill_n(center, width, 0.0);
    }
    functions_.lanes(reducer(), src, nest_, width, center, result);
    for (int64_t i = 0; i < width; ++i) dst[i] = finish(result[i]);
  }

  Kind kind_;
  double correction_;
  ReduceFunctions functions_;
  LoopNest nest_;
  int64_t elements_ = 0;
  std::vector<Axis> outer_;
  int64_t outer_size_ = 1;
  int64_t width_ = -1;  ///< Of an axis that is contiguous in both memories; -1: there is none.
  int64_t block_ = 1, blocks_ = 0;
};

}  // namespace

ReduceFunctions reduce_functions() {
  choose_target();
  return {HWY_DYNAMIC_POINTER(Lanes), HWY_DYNAMIC_POINTER(Run)};
}

std::unique_ptr<Kernel> make_reduce_kernel(const ReduceProblem& problem) {
  return std::make_unique<ReduceKernel>(problem);
}

}  // namespace plica
#endif  // HWY_ONCE
