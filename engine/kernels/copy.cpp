#include "engine/kernels/copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/base/fail.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/copy.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Axis = StridedCopy::Axis;

/// Rows of N to 2 N elements, N being the lanes of `d`: two vectors that may overlap.
template <class D>
void move_short_rows(D d, const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a, Axis b) {
  const int64_t last = b.size - static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < a.size; ++i, src += a.src_stride, dst += a.dst_stride) {
    const auto first_vector = hn::LoadU(d, src), last_vector = hn::LoadU(d, src + last);
    hn::StoreU(first_vector, d, dst);
    hn::StoreU(last_vector, d, dst + last);
  }
}

/// Both ends contiguous along b.
void move_rows(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a, Axis b) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  // Beyond this, the library's memcpy has better ways (string instructions, streaming stores).
  constexpr int64_t kLongRow = 512;
  if (b.size <= 2 * lanes) {
    if (b.size >= lanes) return move_short_rows(d, src, dst, a, b);
    if (b.size >= 8) return move_short_rows(hn::CappedTag<float, 8>(), src, dst, a, b);
    if (b.size >= 4) return move_short_rows(hn::CappedTag<float, 4>(), src, dst, a, b);
    for (int64_t i = 0; i < a.size; ++i, src += a.src_stride, dst += a.dst_stride) {
      for (int64_t j = 0; j < b.size; ++j) dst[j] = src[j];
    }
    return;
  }
  for (int64_t i = 0; i < a.size; ++i, src += a.src_stride, dst += a.dst_stride) {
    if (b.size >= kLongRow) {
      std::memcpy(dst, src, static_cast<size_t>(b.size) * sizeof(float));
      continue;
    }
    int64_t j = 0;
    for (; j + lanes <= b.size; j += lanes) hn::StoreU(hn::LoadU(d, src + j), d, dst + j);
    // The last vector overlaps the one before it.
    if (j < b.size) hn::StoreU(hn::LoadU(d, src + b.size - lanes), d, dst + b.size - lanes);
  }
}

/// One element of the source fills a contiguous row of the destination.
void move_fill(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a, Axis b) {
  for (int64_t i = 0; i < a.size; ++i) {
    std::fill_n(dst + i * a.dst_stride, b.size, src[i * a.src_stride]);
  }
}

void move_any(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a, Axis b) {
  for (int64_t i = 0; i < a.size; ++i) {
    const float* from = src + i * a.src_stride;
    float* to = dst + i * a.dst_stride;
    for (int64_t j = 0; j < b.size; ++j) to[j * b.dst_stride] = from[j * b.src_stride];
  }
}

/// Four vectors are the rows of a 4x4 matrix, one in each 128-bit block; they become its columns.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void transpose4(D d, V& r0, V& r1, V& r2, V& r3) {
  const hn::Repartition<double, D> dd;
  const auto a = hn::BitCast(dd, hn::InterleaveLower(d, r0, r1));
  const auto b = hn::BitCast(dd, hn::InterleaveLower(d, r2, r3));
  const auto e = hn::BitCast(dd, hn::InterleaveUpper(d, r0, r1));
  const auto f = hn::BitCast(dd, hn::InterleaveUpper(d, r2, r3));
  r0 = hn::BitCast(d, hn::InterleaveLower(dd, a, b));
  r1 = hn::BitCast(d, hn::InterleaveUpper(dd, a, b));
  r2 = hn::BitCast(d, hn::InterleaveLower(dd, e, f));
  r3 = hn::BitCast(d, hn::InterleaveUpper(dd, e, f));
}

/// Four columns of kRows rows of the source become four rows of the destination.
template <int kRows>
HWY_INLINE void transpose_tile(const float* HWY_RESTRICT src, int64_t src_stride,
                               float* HWY_RESTRICT dst, int64_t dst_stride) {
  const hn::FixedTag<float, 4> d4;
#if HWY_TARGET <= HWY_AVX2
  constexpr int kStep = kRows % 8 == 0 ? 8 : 4;
#else
  constexpr int kStep = 4;
#endif
  const hn::FixedTag<float, kStep> d;
  for (int row = 0; row < kRows; row += kStep) {
    const float* from = src + row * src_stride;
    const auto load = [&](int64_t k) HWY_ATTR {
      if constexpr (kStep == 8) {
        return hn::Combine(d, hn::LoadU(d4, from + (k + 4) * src_stride),
                           hn::LoadU(d4, from + k * src_stride));
      } else {
        return hn::LoadU(d, from + k * src_stride);
      }
    };
    auto r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
    transpose4(d, r0, r1, r2, r3);
    hn::StoreU(r0, d, dst + row);
    hn::StoreU(r1, d, dst + row + dst_stride);
    hn::StoreU(r2, d, dst + row + 2 * dst_stride);
    hn::StoreU(r3, d, dst + row + 3 * dst_stride);
  }
}

/// kRows positions of b, all of a.
template <int kRows>
HWY_INLINE void transpose_strip(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a,
                                Axis b) {
  int64_t i = 0;
  for (; i + 4 <= a.size; i += 4) {
    transpose_tile<kRows>(src + i, b.src_stride, dst + i * a.dst_stride, a.dst_stride);
  }
  for (; i < a.size; ++i) {
    for (int j = 0; j < kRows; ++j) dst[i * a.dst_stride + j] = src[i + j * b.src_stride];
  }
}

/// The source is contiguous along a, the destination along b. A strip of 16 positions of b fills
/// whole cache lines of the destination, whose rows may all fall into one cache set.
void move_transpose(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a, Axis b) {
  int64_t j = 0;
  for (; j + 16 <= b.size; j += 16) transpose_strip<16>(src + j * b.src_stride, dst + j, a, b);
  for (; j + 4 <= b.size; j += 4) transpose_strip<4>(src + j * b.src_stride, dst + j, a, b);
  for (; j < b.size; ++j) {
    for (int64_t i = 0; i < a.size; ++i) dst[i * a.dst_stride + j] = src[i + j * b.src_stride];
  }
}

/// kCount planes of the source (axis b) become the kCount elements of a pixel.
template <int kCount>
HWY_INLINE void interleave(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a, Axis b) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= a.size; i += lanes) {
    const auto load = [&](int k) HWY_ATTR { return hn::LoadU(d, src + i + k * b.src_stride); };
    float* to = dst + i * kCount;
    if constexpr (kCount == 2) hn::StoreInterleaved2(load(0), load(1), d, to);
    if constexpr (kCount == 3) hn::StoreInterleaved3(load(0), load(1), load(2), d, to);
    if constexpr (kCount == 4) hn::StoreInterleaved4(load(0), load(1), load(2), load(3), d, to);
  }
  for (; i < a.size; ++i) {
    for (int k = 0; k < kCount; ++k) dst[i * kCount + k] = src[i + k * b.src_stride];
  }
}

/// The kCount elements of a pixel (axis a) become planes of the destination.
template <int kCount>
HWY_INLINE void deinterleave(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, Axis a,
                             Axis b) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= b.size; i += lanes) {
    hn::Vec<decltype(d)> v0, v1, v2, v3;
    const float* from = src + i * kCount;
    if constexpr (kCount == 2) hn::LoadInterleaved2(d, from, v0, v1);
    if constexpr (kCount == 3) hn::LoadInterleaved3(d, from, v0, v1, v2);
    if constexpr (kCount == 4) hn::LoadInterleaved4(d, from, v0, v1, v2, v3);
    hn::StoreU(v0, d, dst + i);
    hn::StoreU(v1, d, dst + i + a.dst_stride);
    if constexpr (kCount >= 3) hn::StoreU(v2, d, dst + i + 2 * a.dst_stride);
    if constexpr (kCount >= 4) hn::StoreU(v3, d, dst + i + 3 * a.dst_stride);
  }
  for (; i < b.size; ++i) {
    for (int k = 0; k < kCount; ++k) dst[k * a.dst_stride + i] = src[i * kCount + k];
  }
}

void interleave2(const float* s, float* d, Axis a, Axis b) { interleave<2>(s, d, a, b); }
void interleave3(const float* s, float* d, Axis a, Axis b) { interleave<3>(s, d, a, b); }
void interleave4(const float* s, float* d, Axis a, Axis b) { interleave<4>(s, d, a, b); }
void deinterleave2(const float* s, float* d, Axis a, Axis b) { deinterleave<2>(s, d, a, b); }
void deinterleave3(const float* s, float* d, Axis a, Axis b) { deinterleave<3>(s, d, a, b); }
void deinterleave4(const float* s, float* d, Axis a, Axis b) { deinterleave<4>(s, d, a, b); }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(move_rows);
HWY_EXPORT(move_fill);
HWY_EXPORT(move_any);
HWY_EXPORT(move_transpose);
HWY_EXPORT(interleave2);
HWY_EXPORT(interleave3);
HWY_EXPORT(interleave4);
HWY_EXPORT(deinterleave2);
HWY_EXPORT(deinterleave3);
HWY_EXPORT(deinterleave4);

using Axis = StridedCopy::Axis;

constexpr size_t kMaxOuter = 64;  // PyTorch has at most 64 dimensions.
/// A task should outweigh the cost of handing it to a thread: 64 kB.
constexpr int64_t kTaskElements = 16384;
/// Edge of a transposed block: 64 rows of 256 bytes fit the first-level cache and its TLB.
constexpr int64_t kTile = 64;

/// Axes of size 1 dropped, sorted from slow to fast in the destination, and merged where both ends
/// allow it.
std::vector<Axis> canonical_axes(const TensorDesc& src, const TensorDesc& dst) {
  std::vector<Axis> axes;
  for (size_t i = 0; i < src.shape.size(); ++i) {
    if (src.shape[i] != 1) axes.push_back({src.shape[i], src.strides[i], dst.strides[i]});
  }
  std::stable_sort(axes.begin(), axes.end(), [](const Axis& x, const Axis& y) {
    return x.dst_stride != y.dst_stride ? x.dst_stride > y.dst_stride : x.src_stride > y.src_stride;
  });
  std::vector<Axis> merged;
  for (const Axis& axis : axes) {
    if (!merged.empty() && merged.back().src_stride == axis.src_stride * axis.size &&
        merged.back().dst_stride == axis.dst_stride * axis.size) {
      merged.back() = {merged.back().size * axis.size, axis.src_stride, axis.dst_stride};
    } else {
      merged.push_back(axis);
    }
  }
  return merged;
}

class CopyKernel : public Kernel {
 public:
  CopyKernel(const TensorDesc& src, const TensorDesc& dst) : copy_(src, dst) {}

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* src = args.in[0];
    float* dst = args.out[0];
    team.for_each(copy_.tasks(), [&](int64_t task, int) { copy_.run_task(src, dst, task); });
  }

 private:
  StridedCopy copy_;
};

class CopiesKernel : public Kernel {
 public:
  CopiesKernel(const std::vector<CopyPart>& parts, float fill) : fill_(fill) {
    for (const CopyPart& part : parts) {
      parts_.push_back(
          {StridedCopy(part.src, part.dst), part.input, part.src_offset, part.dst_offset, tasks_});
      tasks_ += parts_.back().copy.tasks();
    }
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    team.for_each(tasks_, [&](int64_t task, int) {
      const auto after = std::upper_bound(
          parts_.begin(), parts_.end(), task,
          [](int64_t wanted, const Part& part) { return wanted < part.first_task; });
      const Part& part = *(after - 1);
      const float* src = part.input < 0 ? &fill_ : args.in[part.input];
      part.copy.run_task(src + part.src_offset, args.out[0] + part.dst_offset,
                         task - part.first_task);
    });
  }

 private:
  struct Part {
    StridedCopy copy;
    int input;
    int64_t src_offset, dst_offset;
    int64_t first_task;
  };
  std::vector<Part> parts_;
  int64_t tasks_ = 0;
  float fill_;
};

}  // namespace

StridedCopy::StridedCopy(const TensorDesc& src, const TensorDesc& dst) {
  require(src.shape == dst.shape, ErrorCode::kInternal, "copy: shapes differ: ", src.shape, " and ",
          dst.shape);
  if (element_count(src.shape) == 0) return;

  std::vector<Axis> axes = canonical_axes(src, dst);
  require(axes.size() <= kMaxOuter, ErrorCode::kUnsupported, "tensor of rank ", axes.size());
  if (axes.empty()) axes.push_back({1, 1, 1});
  b_ = axes.back();
  axes.pop_back();
  const auto contiguous =
      std::find_if(axes.begin(), axes.end(), [](const Axis& axis) { return axis.src_stride == 1; });
  const bool transposed = b_.dst_stride == 1 && b_.src_stride > 1 && contiguous != axes.end();
  if (!axes.empty()) {
    const auto second = transposed ? contiguous : axes.end() - 1;
    a_ = *second;
    axes.erase(second);
  }
  outer_ = std::move(axes);
  choose_move(transposed);

  if (transposed) {
    block_b_ = std::min(b_.size, std::max(kTile, kTile * kTile / a_.size / 16 * 16));
    block_a_ = std::min(a_.size, std::max(kTile, kTile * kTile / b_.size / 16 * 16));
  } else {
    block_b_ = std::min(b_.size, kTaskElements);
    block_a_ = std::min(a_.size, kTaskElements / block_b_);
  }
  blocks_a_ = ceil_div(a_.size, block_a_);
  blocks_b_ = ceil_div(b_.size, block_b_);
  units_ = blocks_a_ * blocks_b_;
  for (const Axis& axis : outer_) units_ *= axis.size;
  units_per_task_ = std::max<int64_t>(1, kTaskElements / (block_a_ * block_b_));
  tasks_ = ceil_div(units_, units_per_task_);
}

void StridedCopy::choose_move(bool transposed) {
  choose_target();
  const auto choose = [&](MoveFn move, const char* name) {
    move_ = move;
    name_ = name;
  };
  if (transposed && b_.size <= 4 && a_.dst_stride == b_.size) {
    choose(b_.size == 2   ? HWY_DYNAMIC_POINTER(interleave2)
           : b_.size == 3 ? HWY_DYNAMIC_POINTER(interleave3)
                          : HWY_DYNAMIC_POINTER(interleave4),
           "interleave");
  } else if (transposed && a_.size <= 4 && b_.src_stride == a_.size) {
    choose(a_.size == 2   ? HWY_DYNAMIC_POINTER(deinterleave2)
           : a_.size == 3 ? HWY_DYNAMIC_POINTER(deinterleave3)
                          : HWY_DYNAMIC_POINTER(deinterleave4),
           "deinterleave");
  } else if (transposed) {
    choose(HWY_DYNAMIC_POINTER(move_transpose), "transpose");
  } else if (b_.dst_stride == 1 && b_.src_stride == 1) {
    choose(HWY_DYNAMIC_POINTER(move_rows), "rows");
  } else if (b_.dst_stride == 1 && b_.src_stride == 0) {
    choose(HWY_DYNAMIC_POINTER(move_fill), "fill");
  } else {
    choose(HWY_DYNAMIC_POINTER(move_any), "gather");
  }
}

void StridedCopy::run_task(const float* src, float* dst, int64_t task) const {
  int64_t unit = task * units_per_task_;
  const int64_t end = std::min(unit + units_per_task_, units_);
  int64_t in_b = unit % blocks_b_;
  int64_t in_a = unit / blocks_b_ % blocks_a_;
  int64_t rest = unit / blocks_b_ / blocks_a_;
  std::array<int64_t, kMaxOuter> index;
  for (size_t k = outer_.size(); k-- > 0;) {
    index[k] = rest % outer_[k].size;
    rest /= outer_[k].size;
    src += index[k] * outer_[k].src_stride;
    dst += index[k] * outer_[k].dst_stride;
  }
  while (true) {
    const int64_t a0 = in_a * block_a_, b0 = in_b * block_b_;
    Axis a = a_, b = b_;
    a.size = std::min(block_a_, a_.size - a0);
    b.size = std::min(block_b_, b_.size - b0);
    move_(src + a0 * a.src_stride + b0 * b.src_stride, dst + a0 * a.dst_stride + b0 * b.dst_stride,
          a, b);
    if (++unit == end) return;
    if (++in_b < blocks_b_) continue;
    in_b = 0;
    if (++in_a < blocks_a_) continue;
    in_a = 0;
    for (size_t k = outer_.size(); k-- > 0;) {
      const Axis& axis = outer_[k];
      src += axis.src_stride;
      dst += axis.dst_stride;
      if (++index[k] < axis.size) break;
      src -= axis.size * axis.src_stride;
      dst -= axis.size * axis.dst_stride;
      index[k] = 0;
    }
  }
}

std::unique_ptr<Kernel> make_copy(const TensorDesc& src, const TensorDesc& dst) {
  return std::make_unique<CopyKernel>(src, dst);
}

std::unique_ptr<Kernel> make_copies(const std::vector<CopyPart>& parts, float fill) {
  return std::make_unique<CopiesKernel>(parts, fill);
}

}  // namespace plica
#endif  // HWY_ONCE
