#include "engine/kernels/binary.h"

#include <algorithm>
#include <numeric>

#include "engine/kernels/loop_nest.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/binary.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// After foreach_target.
#include "engine/kernels/math-inl.h"

#ifndef PLICA_ENGINE_KERNELS_BINARY_ONCE_
#define PLICA_ENGINE_KERNELS_BINARY_ONCE_
namespace plica {
namespace {

/// How an operand runs along the columns.
enum class Access { kDense, kBroadcast, kStrided };

/// One block; operands in the order dst, x, y. dst is dense along the columns.
using BlockFunction = void (*)(float* dst, const float* x, const float* y, const Block<3>& block,
                               float alpha);

/// Floats that a row is repeated to, at most.
constexpr int64_t kMostRepeated = 1024;

/// Whether rows of a number of columns that whole vectors do not divide lie one after the other in
/// dst and in one operand, and are combined with the same row of operand `same`. By rows, the last
/// vector of each would be stored in part, which what is loaded next in place has to wait for.
bool repeats_row(const Block<3>& block, size_t same, int64_t period) {
  const int64_t cols = block.cols;
  return period != cols && period <= kMostRepeated && 4 * period <= block.rows * cols &&
         block.row_strides[0] == cols && block.row_strides[3 - same] == cols &&
         block.row_strides[same] == 0;
}

}  // namespace
}  // namespace plica
#endif

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <BinaryKind kind, class D, class V = hn::VFromD<D>>
HWY_INLINE V combine(D d, V x, V y, V alpha) {
  (void)d, (void)alpha;
  if constexpr (kind == BinaryKind::kAdd) return hn::Add(x, y);
  if constexpr (kind == BinaryKind::kAddScaled) return hn::MulAdd(y, alpha, x);
  if constexpr (kind == BinaryKind::kSub) return hn::Sub(x, y);
  if constexpr (kind == BinaryKind::kMul) return hn::Mul(x, y);
  if constexpr (kind == BinaryKind::kDiv) return hn::Div(x, y);
  if constexpr (kind == BinaryKind::kPow) return vec_pow(d, x, y);
  if constexpr (kind == BinaryKind::kMaximum) {
    return hn::IfThenElse(hn::IsNaN(x), x, max_keep_nan(x, y));
  }
  if constexpr (kind == BinaryKind::kMinimum) {
    return hn::IfThenElse(hn::IsNaN(x), x, min_keep_nan(x, y));
  }
  if constexpr (kind == BinaryKind::kPrelu) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, y));
  }
  if constexpr (kind == BinaryKind::kGate) return vec_over_one_plus_exp_minus(d, x, y);
  const V one = hn::Set(d, 1.0f);
  if constexpr (kind == BinaryKind::kGreater) return hn::IfThenElseZero(hn::Gt(x, y), one);
  if constexpr (kind == BinaryKind::kGreaterEqual) return hn::IfThenElseZero(hn::Ge(x, y), one);
  if constexpr (kind == BinaryKind::kEqual) return hn::IfThenElseZero(hn::Eq(x, y), one);
  // Not Ne, which is false for NaN on some targets.
  if constexpr (kind == BinaryKind::kNotEqual) return hn::IfThenZeroElse(hn::Eq(x, y), one);
}

/// `count` elements from column i on.
template <Access access, class D>
HWY_INLINE hn::VFromD<D> load(D d, const float* p, int64_t i, size_t count, int64_t stride) {
  if constexpr (access == Access::kDense) {
    return count == hn::Lanes(d) ? hn::LoadU(d, p + i) : hn::LoadN(d, p + i, count);
  } else if constexpr (access == Access::kBroadcast) {
    return hn::Set(d, *p);
  } else {
    HWY_ALIGN float lanes[hn::MaxLanes(d)] = {};
    for (size_t k = 0; k < count; ++k) lanes[k] = p[(i + static_cast<int64_t>(k)) * stride];
    return hn::Load(d, lanes);
  }
}

/// A block for which repeats_row() is true, in whole vectors: `row` so often that these divide it.
template <BinaryKind kind, bool kSameX>
void run_repeated(float* dst, const float* data, const float* row, const Block<3>& block,
                  int64_t period, float alpha) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto va = hn::Set(d, alpha);
  HWY_ALIGN float same[kMostRepeated];
  for (int64_t i = 0; i < period; i += block.cols) std::copy_n(row, block.cols, same + i);
  const auto run = [&](int64_t i, int64_t k, size_t count) HWY_ATTR {
    const auto x = load<Access::kDense>(d, data, i, count, 1), y = hn::Load(d, same + k);
    const auto z = combine<kind>(d, kSameX ? y : x, kSameX ? x : y, va);
    if (count == hn::Lanes(d)) {
      hn::StoreU(z, d, dst + i);
    } else {
      hn::StoreN(z, d, dst + i, count);
    }
  };
  const int64_t all = block.rows * block.cols;
  for (int64_t first = 0; first < all; first += period) {
    const int64_t count = std::min(period, all - first);
    int64_t k = 0;
    for (; k + lanes <= count; k += lanes) run(first + k, k, hn::Lanes(d));
    if (k < count) run(first + k, k, static_cast<size_t>(count - k));
  }
}

template <BinaryKind kind, Access ax, Access ay>
void run_block(float* dst, const float* x, const float* y, const Block<3>& block, float alpha) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto va = hn::Set(d, alpha);
  // For all the compiler knows, stores of vectors change what is behind the reference.
  const int64_t cols = block.cols;
  const int64_t sx = block.col_strides[1], sy = block.col_strides[2];
  if constexpr (ax == Access::kDense && ay == Access::kDense) {
    const int64_t period = std::lcm(cols, lanes);
    if (repeats_row(block, 2, period)) {
      return run_repeated<kind, false>(dst, x, y, block, period, alpha);
    }
    if (repeats_row(block, 1, period)) {
      return run_repeated<kind, true>(dst, y, x, block, period, alpha);
    }
  }
  for (int64_t row = 0; row < block.rows; ++row) {
    const auto n = static_cast<size_t>(lanes);
    int64_t i = 0;
    for (; i + lanes <= cols; i += lanes) {
      const auto vx = load<ax>(d, x, i, n, sx);
      const auto vy = load<ay>(d, y, i, n, sy);
      hn::StoreU(combine<kind>(d, vx, vy, va), d, dst + i);
    }
    if (i < cols) {
      const auto rest = static_cast<size_t>(cols - i);
      const auto vx = load<ax>(d, x, i, rest, sx);
      const auto vy = load<ay>(d, y, i, rest, sy);
      hn::StoreN(combine<kind>(d, vx, vy, va), d, dst + i, rest);
    }
    dst += block.row_strides[0];
    x += block.row_strides[1];
    y += block.row_strides[2];
  }
}

template <BinaryKind kind>
BlockFunction select(Access ax, Access ay) {
  using enum Access;
  if (ax == kDense && ay == kDense) return &run_block<kind, kDense, kDense>;
  if (ax == kDense && ay == kBroadcast) return &run_block<kind, kDense, kBroadcast>;
  if (ax == kBroadcast && ay == kDense) return &run_block<kind, kBroadcast, kDense>;
  return &run_block<kind, kStrided, kStrided>;
}

}  // namespace

BlockFunction select_binary(BinaryKind kind, Access ax, Access ay) {
  switch (kind) {
#define PLICA_SELECT(kind, name) \
  case BinaryKind::kind:         \
    return select<BinaryKind::kind>(ax, ay);
    PLICA_BINARY_FUNCTIONS(PLICA_SELECT)
#undef PLICA_SELECT
  }
  return nullptr;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(select_binary);

Access access(int64_t stride) {
  return stride == 1 ? Access::kDense : stride == 0 ? Access::kBroadcast : Access::kStrided;
}

class BinaryKernel final : public Kernel {
 public:
  BinaryKernel(BinaryKind kind, float alpha, const TensorDesc& x, const TensorDesc& y,
               const TensorDesc& dst)
      : kind_(kind),
        alpha_(alpha),
        nest_(dst.shape, {dst.strides, x.strides, y.strides}),
        function_(function_of(nest_)) {
    set_rows(x, y, dst);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* x = args.in[0];
    const float* y = args.in[1];
    float* dst = args.out[0];
    team.for_each(nest_.tasks(), [&](int64_t task, int) {
      nest_.run_task(task, [&](const auto& at, const Block<3>& block) {
        function_(dst + at[0], x + at[1], y + at[2], block, alpha_);
      });
    });
  }

  const RowLayout* row_layout() const override { return layout_.images > 0 ? &layout_ : nullptr; }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    for (int64_t y = out.begin; y < out.end; ++y) {
      std::array<int64_t, 3> first;
      for (size_t k = 0; k < 3; ++k) first[k] = image * image_step_[k] + y * row_step_[k];
      for (int64_t task = 0; task < row_nest_.tasks(); ++task) {
        row_nest_.run_task(task, [&](const auto& at, const Block<3>& block) {
          row_function_(args.out[0] + first[0] + at[0], args.in[0] + first[1] + at[1],
                        args.in[1] + first[2] + at[2], block, alpha_);
        });
      }
    }
  }

 private:
  /// Images that are one behind the other in the output and in an operand can be done by rows.
  void set_rows(const TensorDesc& x, const TensorDesc& y, const TensorDesc& dst) {
    if (dst.rank() != 4 || dst.shape[2] < 2) return;
    const auto is_rows = [&](const TensorDesc& t) {
      // Not planes, whose channels are more than a row apart.
      const bool pixels = t.strides[3] > (dst.shape[1] - 1) * t.strides[1];
      return pixels && t.strides[2] == dst.shape[3] * t.strides[3] &&
             (dst.shape[0] == 1 || t.strides[0] == dst.shape[2] * t.strides[2]);
    };
    const TensorDesc& src = is_rows(x) ? x : y;
    if (!is_rows(src) || !is_rows(dst)) return;
    layout_ = {.src = is_rows(x) ? 0 : 1,
               .images = dst.shape[0],
               .in_rows = dst.shape[2],
               .out_rows = dst.shape[2],
               .in_row = src.strides[2],
               .out_row = dst.strides[2]};
    row_nest_ =
        LoopNest<3>({1, dst.shape[1], 1, dst.shape[3]}, {dst.strides, x.strides, y.strides});
    row_function_ = function_of(row_nest_);
    for (const int axis : {0, 2}) {
      auto& steps = axis == 0 ? image_step_ : row_step_;
      steps = {dst.strides[axis], x.strides[axis], y.strides[axis]};
    }
  }

  BlockFunction function_of(const LoopNest<3>& nest) const {
    return HWY_DYNAMIC_DISPATCH(select_binary)(kind_, access(nest.inner_stride(1)),
                                               access(nest.inner_stride(2)));
  }

  BinaryKind kind_;
  float alpha_;
  LoopNest<3> nest_;
  BlockFunction function_;
  // Of one row, and from one to the next.
  RowLayout layout_;
  LoopNest<3> row_nest_;
  BlockFunction row_function_ = nullptr;
  std::array<int64_t, 3> image_step_{}, row_step_{};
};

}  // namespace

std::string_view name(BinaryKind kind) {
  switch (kind) {
#define PLICA_NAME(kind, text) \
  case BinaryKind::kind:       \
    return text;
    PLICA_BINARY_FUNCTIONS(PLICA_NAME)
#undef PLICA_NAME
  }
  return "?";
}

std::unique_ptr<Kernel> make_binary(BinaryKind kind, float alpha, const TensorDesc& x,
                                    const TensorDesc& y, const TensorDesc& dst) {
  require(x.shape == dst.shape && y.shape == dst.shape, ErrorCode::kInternal,
          "binary: operands have not been broadcast");
  return std::make_unique<BinaryKernel>(kind, alpha, x, y, dst);
}

}  // namespace plica
#endif  // HWY_ONCE
