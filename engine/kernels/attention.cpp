#include "engine/kernels/attention.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/base/aligned_buffer.h"
#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/igemm.h"
#include "engine/kernels/pointwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/attention.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#include "engine/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// scores[i] = scale * scores[i] + mask[i * step], where mask may be null; returns the largest.
float ScaleScores(float* HWY_RESTRICT scores, const float* HWY_RESTRICT mask, int64_t step,
                  float scale, int64_t n) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto factor = hn::Set(d, scale);
  const auto constant = hn::Set(d, mask && step == 0 ? *mask : 0.0f);
  auto max = lowest;
  for (int64_t i = 0; i < n; i += lanes) {
    const auto rest = static_cast<size_t>(std::min(lanes, n - i));
    const auto x = hn::LoadN(d, scores + i, rest);
    const auto added = mask && step == 1 ? hn::LoadN(d, mask + i, rest) : constant;
    const auto y = hn::MulAdd(x, factor, added);
    hn::StoreN(y, d, scores + i, rest);
    max = hn::Max(max, hn::IfThenElse(hn::FirstN(d, rest), y, lowest));
  }
  return hn::ReduceMax(d, max);
}

/// scores[i] = e^(scores[i] - max); returns their sum. Terms are added in runs, which then join the
/// total.
float ExpScores(float* HWY_RESTRICT scores, float max, int64_t n) {
  constexpr int64_t kRun = 32;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto m = hn::Set(d, max);
  auto total = hn::Zero(d);
  int64_t i = 0;
  while (i + lanes <= n) {
    auto sum = hn::Zero(d);
    for (const int64_t end = std::min(n, i + kRun * lanes); i + lanes <= end; i += lanes) {
      const auto y = vec_exp(d, hn::Sub(hn::LoadU(d, scores + i), m));
      hn::StoreU(y, d, scores + i);
      sum = hn::Add(sum, y);
    }
    total = hn::Add(total, sum);
  }
  if (i < n) {
    const auto rest = static_cast<size_t>(n - i);
    const auto y = vec_exp(d, hn::Sub(hn::LoadN(d, scores + i, rest), m));
    hn::StoreN(y, d, scores + i, rest);
    total = hn::Add(total, hn::IfThenElseZero(hn::FirstN(d, rest), y));
  }
  return hn::ReduceSum(d, total);
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(ScaleScores);
HWY_EXPORT(ExpScores);

/// Scores that a thread has at a time should stay in the second level of the cache, beside the
/// packed keys and values.
constexpr int64_t kMostScores = 65536;

/// The product with the keys, and that with the values.
struct Shapes {
  explicit Shapes(const AttentionProblem& p) {
    scores.n = output.n = 1;
    scores.ic = p.depth;
    scores.oc = output.ic = p.keys;
    scores.src_pixel = p.query_row;
    scores.dst_pixel = scores.residual_pixel = output.src_pixel = p.keys;
    output.oc = p.value_depth;
    output.dst_pixel = output.residual_pixel = p.dst_row;
    const int64_t most = std::max(igemm_tile().rows, kMostScores / std::max<int64_t>(1, p.keys));
    rows = std::max<int64_t>(
        1, std::min({p.queries, most, igemm_max_rows(scores), igemm_max_rows(output)}));
    scores.n = output.n = rows;
  }
  IgemmShape scores, output;
  int64_t rows;  ///< That are computed at a time.
};

size_t packed_bytes(const IgemmShape& shape) {
  return align_up(igemm_packed_size(shape) * sizeof(float));
}
/// Enough for all threads to have heads of their own, whose keys and values they pack when it is
/// their turn; with few, all are packed first, and the threads share out the queries.
bool has_many_heads(const AttentionProblem& p) {
  constexpr size_t kMany = 32;
  return p.heads.size() >= kMany;
}
size_t sums_bytes(const Shapes& shapes) {
  return align_up(static_cast<size_t>(shapes.rows) * sizeof(float));
}
/// The scores, and a sum for each row of them.
size_t scores_bytes(const AttentionProblem& p, const Shapes& shapes) {
  return align_up(static_cast<size_t>(shapes.rows * p.keys) * sizeof(float)) + sums_bytes(shapes);
}

class AttentionKernel final : public Kernel {
 public:
  explicit AttentionKernel(AttentionProblem problem)
      : p_(std::move(problem)),
        shapes_(p_),
        key_bytes_(packed_bytes(shapes_.scores)),
        workspace_(attention_workspace(p_)),
        zero_bias_(static_cast<size_t>(std::max(igemm_padded_columns(shapes_.scores),
                                                igemm_padded_columns(shapes_.output))) *
                   sizeof(float)) {
    choose_target();
    scale_scores_ = HWY_DYNAMIC_POINTER(ScaleScores);
    exp_scores_ = HWY_DYNAMIC_POINTER(ExpScores);
    epilogue_.bias = zero_bias_.floats();
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const auto heads = static_cast<int64_t>(p_.heads.size());
    const int64_t blocks = ceil_div(p_.queries, shapes_.rows);
    const size_t head_bytes = key_bytes_ + packed_bytes(shapes_.output);
    const auto own = [&](int worker) {
      return args.workspace + workspace_.bytes +
             static_cast<size_t>(worker) * workspace_.bytes_per_thread;
    };
    if (has_many_heads(p_)) {
      team.for_each(heads, [&](int64_t head, int worker) {
        std::byte* packed = own(worker);
        pack_keys(args, head, packed);
        pack_values(args, head, packed);
        for (int64_t i = 0; i < blocks; ++i) attend(args, head, i, packed, packed + head_bytes);
      });
      return;
    }
    const auto packed = [&](int64_t head) {
      return args.workspace + head_bytes * static_cast<size_t>(head);
    };
    team.for_each(2 * heads, [&](int64_t task, int) {
      if (task % 2 == 0) {
        pack_keys(args, task / 2, packed(task / 2));
      } else {
        pack_values(args, task / 2, packed(task / 2));
      }
    });
    team.for_each(heads * blocks, [&](int64_t task, int worker) {
      const int64_t head = task / blocks;
      attend(args, head, task % blocks, packed(head), own(worker));
    });
  }

 private:
  void pack_keys(const KernelArgs& args, int64_t head, std::byte* packed) const {
    constexpr int64_t kNoOffset = 0;
    igemm_pack(shapes_.scores,
               {.data = args.in[1] + p_.heads[static_cast<size_t>(head)].key,
                .oc_stride = p_.key_row,
                .ic_stride = p_.key_step,
                .tap_offset = &kNoOffset},
               reinterpret_cast<float*>(packed));
  }

  void pack_values(const KernelArgs& args, int64_t head, std::byte* packed) const {
    constexpr int64_t kNoOffset = 0;
    igemm_pack(shapes_.output,
               {.data = args.in[2] + p_.heads[static_cast<size_t>(head)].value,
                .oc_stride = p_.value_step,
                .ic_stride = p_.value_row,
                .tap_offset = &kNoOffset},
               reinterpret_cast<float*>(packed + key_bytes_));
  }

  /// Some queries of a head, whose keys and values are packed.
  void attend(const KernelArgs& args, int64_t head, int64_t index, const std::byte* packed,
              std::byte* own) const {
    const int64_t first = index * shapes_.rows;
    const int64_t rows = std::min(shapes_.rows, p_.queries - first);
    auto* scores = reinterpret_cast<float*>(own);
    auto* scratch = reinterpret_cast<float*>(own + scores_bytes(p_, shapes_));
    const AttentionHead& at = p_.heads[static_cast<size_t>(head)];
    run_(shapes_.scores, epilogue_, block(shapes_.scores, rows),
         args.in[0] + at.query + first * p_.query_row, reinterpret_cast<const float*>(packed),
         nullptr, scores, scratch);
    float* sums = reinterpret_cast<float*>(own + scores_bytes(p_, shapes_) - sums_bytes(shapes_));
    for (int64_t row = 0; row < rows; ++row) {
      const float* mask = args.in[3] + at.mask + (first + row) * p_.mask_row;
      sums[row] = weigh(p_.has_mask ? mask : nullptr, first + row, scores + row * p_.keys);
    }
    float* dst = args.out[0] + at.dst + first * p_.dst_row;
    run_(shapes_.output, epilogue_, block(shapes_.output, rows), scores,
         reinterpret_cast<const float*>(packed + key_bytes_), nullptr, dst, scratch);
    const auto depth = static_cast<size_t>(p_.value_depth);
    for (int64_t row = 0; row < rows; ++row, dst += p_.dst_row) {
      scale_(dst, dst, depth, 1 / sums[row], 0);
    }
  }

  IgemmBlock block(const IgemmShape& shape, int64_t rows) const {
    IgemmBlock result;
    result.rows = rows;
    result.panels = ceil_div(shape.oc, tile_.panel);
    return result;
  }

  /// Makes a query's scores its weights of the values, but for their sum, which it returns.
  float weigh(const float* mask, int64_t query, float* scores) const {
    const int64_t seen = p_.causal ? std::min(p_.keys, query + 1) : p_.keys;
    const float max = scale_scores_(scores, mask, p_.mask_step, p_.scale, seen);
    if (max == -std::numeric_limits<float>::infinity() && sees_nothing(scores, seen)) {
      std::fill_n(scores, p_.keys, 0.0f);
      return 1;
    }
    std::fill(scores + seen, scores + p_.keys, 0.0f);
    return exp_scores_(scores, max, seen);
  }

  /// The largest score may be -inf beside a NaN.
  static bool sees_nothing(const float* scores, int64_t seen) {
    return std::all_of(scores, scores + seen, [](float score) {
      return score == -std::numeric_limits<float>::infinity();
    });
  }

  AttentionProblem p_;
  Shapes shapes_;
  size_t key_bytes_;
  AttentionWorkspace workspace_;
  AlignedBuffer zero_bias_;
  BoundEpilogue epilogue_;
  IgemmTile tile_ = igemm_tile();
  IgemmFn run_ = igemm_function();
  RowFunction scale_ = row_function({Pointwise::kScale});
  float (*scale_scores_)(float*, const float*, int64_t, float, int64_t) = nullptr;
  float (*exp_scores_)(float*, float, int64_t) = nullptr;
};

}  // namespace

AttentionWorkspace attention_workspace(const AttentionProblem& problem) {
  const Shapes shapes(problem);
  const size_t head = packed_bytes(shapes.scores) + packed_bytes(shapes.output);
  const size_t scratch = std::max(igemm_scratch_bytes(shapes.scores, shapes.rows),
                                  igemm_scratch_bytes(shapes.output, shapes.rows));
  const size_t own = scores_bytes(problem, shapes) + align_up(scratch);
  if (has_many_heads(problem)) return {0, head + own};
  return {head * problem.heads.size(), own};
}

std::unique_ptr<Kernel> make_attention(AttentionProblem problem) {
  return std::make_unique<AttentionKernel>(std::move(problem));
}

}  // namespace plica
#endif  // HWY_ONCE
