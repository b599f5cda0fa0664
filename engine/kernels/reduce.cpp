#include "engine/kernels/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
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

// Sums are accumulated in double; the largest and the smallest need no more than they are.
template <Reducer kReducer>
inline constexpr bool kIsExtreme = kReducer == Reducer::kMax || kReducer == Reducer::kMin;
template <Reducer kReducer>
using Number = std::conditional_t<kIsExtreme<kReducer>, float, double>;
template <Reducer kReducer>
using Tag = hn::ScalableTag<Number<kReducer>>;
template <Reducer kReducer>
using Vector = hn::Vec<Tag<kReducer>>;

template <Reducer kReducer>
HWY_INLINE Number<kReducer> Neutral() {
  constexpr auto kInf = std::numeric_limits<Number<kReducer>>::infinity();
  return kReducer == Reducer::kMax ? -kInf : kReducer == Reducer::kMin ? kInf : 0;
}

template <Reducer kReducer>
HWY_INLINE Vector<kReducer> Load(const float* p) {
  const Tag<kReducer> d;
  if constexpr (kIsExtreme<kReducer>) return hn::LoadU(d, p);
  if constexpr (!kIsExtreme<kReducer>)
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, decltype(d)>(), p));
}
template <Reducer kReducer>
HWY_INLINE Vector<kReducer> LoadPart(const float* p, size_t count) {
  const Tag<kReducer> d;
  if constexpr (kIsExtreme<kReducer>) return hn::LoadN(d, p, count);
  if constexpr (!kIsExtreme<kReducer>)
    return hn::PromoteTo(d, hn::LoadN(hn::Rebind<float, decltype(d)>(), p, count));
}

template <Reducer kReducer, class V>
HWY_INLINE V Tap(V acc, V x, V center) {
  if constexpr (kReducer == Reducer::kSum) return hn::Add(acc, x);
  if constexpr (kReducer == Reducer::kSquaredDeviation) {
    const V deviation = hn::Sub(x, center);
    return hn::MulAdd(deviation, deviation, acc);
  }
  if constexpr (kReducer == Reducer::kMax) {
    return hn::IfThenElse(hn::Or(hn::IsNaN(x), hn::Gt(x, acc)), x, acc);
  }
  return hn::IfThenElse(hn::Or(hn::IsNaN(x), hn::Lt(x, acc)), x, acc);
}

// Of two partial results.
template <Reducer kReducer, class V>
HWY_INLINE V Merge(V a, V b) {
  if constexpr (kReducer == Reducer::kSquaredDeviation) return hn::Add(a, b);
  return Tap<kReducer>(a, b, b);
}

template <Reducer kReducer>
HWY_INLINE Number<kReducer> TapOne(Number<kReducer> acc, Number<kReducer> x,
                                   Number<kReducer> center) {
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

// Adds `count` positions, `step` apart, to some vectors of results.
template <Reducer kReducer, int kVectors>
HWY_INLINE void LaneBlock(const float* src, int64_t count, int64_t step, const double* center,
                          Number<kReducer>* dst) {
  const Tag<kReducer> d;
  const size_t lanes = hn::Lanes(d);
  Vector<kReducer> acc[kVectors], mid[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    acc[v] = hn::LoadU(d, dst + v * lanes);
    mid[v] = hn::Zero(d);
    if constexpr (kReducer == Reducer::kSquaredDeviation) mid[v] = hn::LoadU(d, center + v * lanes);
  }
  for (int64_t i = 0; i < count; ++i, src += step) {
    for (int v = 0; v < kVectors; ++v) {
      acc[v] = Tap<kReducer>(acc[v], Load<kReducer>(src + v * lanes), mid[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) hn::StoreU(acc[v], d, dst + v * lanes);
}

template <Reducer kReducer>
HWY_INLINE void LanePart(const float* src, int64_t count, int64_t step, size_t part,
                         const double* center, Number<kReducer>* dst) {
  const Tag<kReducer> d;
  auto acc = hn::LoadN(d, dst, part), mid = hn::Zero(d);
  if constexpr (kReducer == Reducer::kSquaredDeviation) mid = hn::LoadN(d, center, part);
  for (int64_t i = 0; i < count; ++i, src += step) {
    acc = Tap<kReducer>(acc, LoadPart<kReducer>(src, part), mid);
  }
  hn::StoreN(acc, d, dst, part);
}

template <Reducer kReducer>
void LanesOf(const float* src, const LoopNest& nest, int64_t width, const double* center,
             Number<kReducer>* dst) {
  // Positions that all results take in turn, so that memory is read in long pieces.
  constexpr int64_t kPositions = 16;
  const auto lanes = static_cast<int64_t>(hn::Lanes(Tag<kReducer>()));
  std::fill_n(dst, width, Neutral<kReducer>());
  if (nest.elements() == 0) return;
  const int64_t inner = nest.count ? nest.size[nest.count - 1] : 1;
  const int64_t step = nest.count ? nest.stride[nest.count - 1] : 0;
  const auto middle = [&](int64_t i) {
    return kReducer == Reducer::kSquaredDeviation ? center + i : center;
  };
  Odometer odometer;
  do {
    for (int64_t at = 0; at < inner; at += kPositions) {
      const float* p = src + odometer.offset + at * step;
      const int64_t count = std::min(kPositions, inner - at);
      int64_t i = 0;
      for (; i + 8 * lanes <= width; i += 8 * lanes) {
        LaneBlock<kReducer, 8>(p + i, count, step, middle(i), dst + i);
      }
      for (; i + lanes <= width; i += lanes) {
        LaneBlock<kReducer, 1>(p + i, count, step, middle(i), dst + i);
      }
      if (i < width) {
        LanePart<kReducer>(p + i, count, step, static_cast<size_t>(width - i), middle(i), dst + i);
      }
    }
  } while (odometer.Next(nest));
}

template <Reducer kReducer>
double RunOf(const float* src, const LoopNest& nest, double center) {
  using N = Number<kReducer>;
  const Tag<kReducer> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if (nest.elements() == 0) return Neutral<kReducer>();
  const int64_t inner = nest.count ? nest.size[nest.count - 1] : 1;
  const int64_t step = nest.count ? nest.stride[nest.count - 1] : 1;
  const auto neutral = hn::Set(d, Neutral<kReducer>());
  const auto mid = hn::Set(d, static_cast<N>(center));
  auto a = neutral, b = neutral, c = neutral, e = neutral;
  N rest = Neutral<kReducer>();
  Odometer odometer;
  do {
    const float* p = src + odometer.offset;
    int64_t i = 0;
    if (step == 1) {
      for (; i + 4 * lanes <= inner; i += 4 * lanes) {
        a = Tap<kReducer>(a, Load<kReducer>(p + i), mid);
        b = Tap<kReducer>(b, Load<kReducer>(p + i + lanes), mid);
        c = Tap<kReducer>(c, Load<kReducer>(p + i + 2 * lanes), mid);
        e = Tap<kReducer>(e, Load<kReducer>(p + i + 3 * lanes), mid);
      }
      for (; i + lanes <= inner; i += lanes) a = Tap<kReducer>(a, Load<kReducer>(p + i), mid);
    }
    for (; i < inner; ++i) {
      rest = TapOne<kReducer>(rest, static_cast<N>(p[i * step]), static_cast<N>(center));
    }
  } while (odometer.Next(nest));
  HWY_ALIGN N partial[HWY_MAX_BYTES / sizeof(N)];
  hn::Store(Merge<kReducer>(Merge<kReducer>(a, b), Merge<kReducer>(c, e)), d, partial);
  for (int64_t i = 0; i < lanes; ++i) {
    // Partial results are merged as if they were elements; squares must not be squared again.
    constexpr Reducer kMerge = kReducer == Reducer::kSquaredDeviation ? Reducer::kSum : kReducer;
    rest = TapOne<kMerge>(rest, partial[i], 0);
  }
  return static_cast<double>(rest);
}

void Sums(Reducer reducer, const float* src, const LoopNest& nest, int64_t width,
          const double* center, double* dst) {
  if (reducer == Reducer::kSum) {
    LanesOf<Reducer::kSum>(src, nest, width, center, dst);
  } else {
    LanesOf<Reducer::kSquaredDeviation>(src, nest, width, center, dst);
  }
}

void Extremes(Reducer reducer, const float* src, const LoopNest& nest, int64_t width, float* dst) {
  if (reducer == Reducer::kMax) {
    LanesOf<Reducer::kMax>(src, nest, width, nullptr, dst);
  } else {
    LanesOf<Reducer::kMin>(src, nest, width, nullptr, dst);
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

HWY_EXPORT(Sums);
HWY_EXPORT(Extremes);
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
    if (kind_ == Kind::kMax || kind_ == Kind::kMin) {
      return functions_.extremes(reducer(), src, nest_, width, dst);
    }
    double center[kBlock], result[kBlock];
    if (needs_center()) {
      functions_.sums(Reducer::kSum, src, nest_, width, nullptr, center);
      for (int64_t i = 0; i < width; ++i) center[i] /= static_cast<double>(elements_);
    } else {
      std::fill_n(center, width, 0.0);
    }
    functions_.sums(reducer(), src, nest_, width, center, result);
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
  return {HWY_DYNAMIC_POINTER(Sums), HWY_DYNAMIC_POINTER(Extremes), HWY_DYNAMIC_POINTER(Run)};
}

std::unique_ptr<Kernel> make_reduce_kernel(const ReduceProblem& problem) {
  return std::make_unique<ReduceKernel>(problem);
}

}  // namespace plica
#endif  // HWY_ONCE
