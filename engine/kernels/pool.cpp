#include "engine/kernels/pool.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "engine/kernels/dispatch.h"
#include "engine/kernels/row_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pool.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#ifndef PLICA_KERNELS_POOL_ROW_
#define PLICA_KERNELS_POOL_ROW_
namespace plica {

/// Windows of more taps are summed by rows, ...
inline constexpr int64_t kMaxFloatTaps = 16;
/// ... of which those with more are summed in double as well.
inline constexpr int64_t kMaxFloatRow = 128;

/// One row of output pixels. Steps count floats.
struct PoolRow {
  const float* src;  ///< Pixel 0 of the first row of the first plane of the windows.
  float* dst;
  int64_t channels, pixel_stride, dst_stride;
  int64_t planes, plane_step;
  int64_t rows, row_step;
  int64_t col_step;
  const PoolAxis::Window* windows;
  int64_t pixels;
  int64_t even_begin, even_end;  ///< Windows of one size and divisor, ...
  int64_t even_step;             ///< ... so many floats apart.
  /// Floats from the first of an input row on that may be read, and from dst on that may be
  /// written, because they are written later.
  int64_t readable, writable;
  int64_t outer_divisor;  ///< Product of depth's and height's divisors, or the override.
  bool fixed_divisor;
  bool row_sums;  ///< PoolProblem::row_sums.
};

}  // namespace plica
#endif  // PLICA_KERNELS_POOL_ROW_

HWY_BEFORE_NAMESPACE();
namespace plica {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;
using DHalf = hn::Rebind<float, DD>;

// A whole vector, or the first `count` lanes.
struct Whole {
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, const float* p) const {
    return hn::LoadU(d, p);
  }
  template <class D>
  HWY_INLINE void store(hn::Vec<D> v, D d, float* p) const {
    hn::StoreU(v, d, p);
  }
};
struct Part {
  size_t count;
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, const float* p) const {
    return hn::LoadN(d, p, count);
  }
  template <class D>
  HWY_INLINE void store(hn::Vec<D> v, D d, float* p) const {
    hn::StoreN(v, d, p, count);
  }
};

// The accumulators: start, tap, result. `scale` is what the average needs of its window.
struct Scale {
  float divisor;
  float reciprocal;  // 0 unless it is exact
};

template <class Tag>
struct MaximumOf {
  using D = Tag;
  using Vec = hn::Vec<D>;
  struct State {
    Vec max;
    hn::Mask<D> nan;
  };
  static HWY_INLINE State start() {
    const D d;
    return {hn::Set(d, -std::numeric_limits<float>::infinity()), hn::MaskFalse(d)};
  }
  static HWY_INLINE void tap(State& state, Vec x) {
    state.max = hn::Max(state.max, x);
    state.nan = hn::Or(state.nan, hn::IsNaN(x));
  }
  static HWY_INLINE Vec result(const State& state, Scale) {
    return hn::IfThenElse(state.nan, hn::NaN(D()), state.max);
  }
};
using Maximum = MaximumOf<DF>;

template <class Tag>
struct FloatSumOf {
  using D = Tag;
  using Vec = hn::Vec<D>;
  struct State {
    Vec sum;
  };
  static HWY_INLINE State start() { return {hn::Zero(D())}; }
  static HWY_INLINE void tap(State& state, Vec x) { state.sum = hn::Add(state.sum, x); }
  static HWY_INLINE Vec result(const State& state, Scale scale) {
    const D d;
    if (scale.reciprocal != 0) return hn::Mul(state.sum, hn::Set(d, scale.reciprocal));
    return hn::Div(state.sum, hn::Set(d, scale.divisor));
  }
};
using FloatSum = FloatSumOf<DF>;

struct DoubleSum {
  using D = DHalf;
  struct State {
    VD sum;
  };
  static HWY_INLINE State start() { return {hn::Zero(DD())}; }
  static HWY_INLINE void tap(State& state, hn::Vec<DHalf> x) {
    state.sum = hn::Add(state.sum, hn::PromoteTo(DD(), x));
  }
  static HWY_INLINE hn::Vec<DHalf> result(const State& state, Scale scale) {
    const DD d;
    return hn::DemoteTo(DHalf(), hn::Div(state.sum, hn::Set(d, scale.divisor)));
  }
};

// Of rows summed in float.
struct RowwiseSum : DoubleSum {};

// `kVectors` neighbouring vectors of one pixel, any window.
template <class Acc, int kVectors, class Access>
HWY_INLINE void AnyWindow(const PoolRow& row, const float* src, int64_t cols, Scale scale,
                          Access access, float* dst) {
  const typename Acc::D d;
  const size_t lanes = hn::Lanes(d);
  typename Acc::State state[kVectors];
  for (int v = 0; v < kVectors; ++v) state[v] = Acc::start();
  for (int64_t plane = 0; plane < row.planes; ++plane) {
    for (int64_t y = 0; y < row.rows; ++y) {
      const float* p = src + plane * row.plane_step + y * row.row_step;
      if constexpr (std::is_same_v<Acc, RowwiseSum>) {
        hn::Vec<typename Acc::D> sum[kVectors];
        for (int v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
        for (int64_t x = 0; x < cols; ++x, p += row.col_step) {
          for (int v = 0; v < kVectors; ++v) {
            sum[v] = hn::Add(sum[v], access.load(d, p + v * lanes));
          }
        }
        for (int v = 0; v < kVectors; ++v) Acc::tap(state[v], sum[v]);
        continue;
      }
      for (int64_t x = 0; x < cols; ++x, p += row.col_step) {
        for (int v = 0; v < kVectors; ++v) Acc::tap(state[v], access.load(d, p + v * lanes));
      }
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    access.store(Acc::result(state[v], scale), d, dst + v * lanes);
  }
}

// One vector of one pixel, a window of kRows x kCols in one plane.
template <class Acc, int kRows, int kCols, class Access>
HWY_INLINE void FixedWindow(const PoolRow& row, const float* src, Scale scale, Access access,
                            float* dst) {
  const typename Acc::D d;
  typename Acc::State state = Acc::start();
  for (int y = 0; y < kRows; ++y) {
    for (int x = 0; x < kCols; ++x) {
      Acc::tap(state, access.load(d, src + y * row.row_step + x * row.col_step));
    }
  }
  access.store(Acc::result(state, scale), d, dst);
}

// Calls body(access, channel) for all channels; the last vector overlaps the one before it.
// `roomy`: a whole vector may be read and written even if there are fewer channels.
template <class D, class Body>
HWY_INLINE void EachVector(D d, int64_t channels, bool roomy, Body body) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if (channels < lanes) {
    if (roomy) {
      body(Whole(), 0);
    } else {
      body(Part{static_cast<size_t>(channels)}, 0);
    }
    return;
  }
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) body(Whole(), c);
  if (c < channels) body(Whole(), channels - lanes);
}

// Of few channels: a vector that starts at the pixel reaches into the pixels behind it.
HWY_INLINE bool IsRoomy(const PoolRow& row, int64_t x, int64_t lanes) {
  const PoolAxis::Window& window = row.windows[x];
  const int64_t last = window.first * row.pixel_stride + (window.count - 1) * row.col_step;
  return row.channels == row.dst_stride && last + lanes <= row.readable &&
         x * row.channels + lanes <= row.writable;
}

template <class Acc>
HWY_INLINE void Pixel(const PoolRow& row, int64_t x, Scale scale) {
  const typename Acc::D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* src = row.src + row.windows[x].first * row.pixel_stride;
  const int64_t cols = row.windows[x].count;
  float* dst = row.dst + x * row.dst_stride;
  const bool roomy = row.channels < lanes && IsRoomy(row, x, lanes);
  if (row.planes == 1 && row.rows == 2 && cols == 2) {
    EachVector(d, row.channels, roomy, [&](auto access, int64_t c) HWY_ATTR {
      FixedWindow<Acc, 2, 2>(row, src + c, scale, access, dst + c);
    });
    return;
  }
  if (row.planes == 1 && row.rows == 3 && cols == 3) {
    EachVector(d, row.channels, roomy, [&](auto access, int64_t c) HWY_ATTR {
      FixedWindow<Acc, 3, 3>(row, src + c, scale, access, dst + c);
    });
    return;
  }
  int64_t c = 0;
  for (; c + 4 * lanes <= row.channels; c += 4 * lanes) {
    AnyWindow<Acc, 4>(row, src + c, cols, scale, Whole(), dst + c);
  }
  if (c == row.channels) return;
  // Fewer than four vectors are left; an overlap may reach back into what is done.
  const int64_t from = c;
  EachVector(d, row.channels - from, roomy, [&](auto access, int64_t k) HWY_ATTR {
    AnyWindow<Acc, 1>(row, src + from + k, cols, scale, access, dst + from + k);
  });
}

HWY_INLINE Scale AverageScale(const PoolRow& row, const PoolAxis::Window& window) {
  int64_t divisor = row.fixed_divisor ? row.outer_divisor : row.outer_divisor * window.divisor;
  if (row.planes * row.rows * window.count == 0) divisor = 1;
  const auto value = static_cast<float>(divisor);
  const bool power_of_two = divisor > 0 && (divisor & (divisor - 1)) == 0;
  return {value, power_of_two ? 1.0f / value : 0.0f};
}

template <class Acc, int kRows, int kCols>
HWY_INLINE void EvenPixels(const PoolRow& row, int64_t begin, int64_t end, Scale scale) {
  const float* src = row.src + row.windows[begin].first * row.pixel_stride;
  float* dst = row.dst + begin * row.dst_stride;
  for (int64_t x = begin; x < end; ++x, src += row.even_step, dst += row.dst_stride) {
    FixedWindow<Acc, kRows, kCols>(row, src, scale, Whole(), dst);
  }
}

// A run of pixels of few channels that need no case distinction for each; returns its end.
template <template <class> class AccOf, class D>
HWY_INLINE int64_t EvenRun(const PoolRow& row, int64_t begin, Scale scale, D d) {
  using Acc = AccOf<D>;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if constexpr (hn::MaxLanes(d) > 4) {
    // Half as many loads lie across two lines of the cache.
    if (2 * row.channels <= lanes) return EvenRun<AccOf>(row, begin, scale, hn::Half<D>());
  }
  if (begin != row.even_begin || row.planes != 1 || row.channels > lanes) return begin;
  int64_t end = row.even_end;
  while (end > begin && !IsRoomy(row, end - 1, lanes)) --end;
  if (end == begin) return begin;
  const int64_t cols = row.windows[begin].count;
  if (row.rows == 2 && cols == 2) {
    EvenPixels<Acc, 2, 2>(row, begin, end, scale);
  } else if (row.rows == 3 && cols == 3) {
    EvenPixels<Acc, 3, 3>(row, begin, end, scale);
  } else {
    return begin;
  }
  return end;
}

void MaxRow(const PoolRow& row) {
  for (int64_t x = 0, end = 0; x < row.pixels; x = std::max(x + 1, end)) {
    end = EvenRun<MaximumOf>(row, x, {1, 1}, DF());
    if (end == x) Pixel<Maximum>(row, x, {1, 1});
  }
}

void AverageRow(const PoolRow& row) {
  for (int64_t x = 0, end = 0; x < row.pixels; x = std::max(x + 1, end)) {
    const PoolAxis::Window& window = row.windows[x];
    const Scale scale = AverageScale(row, window);
    if (!row.row_sums && row.planes * row.rows * window.count <= kMaxFloatTaps) {
      end = EvenRun<FloatSumOf>(row, x, scale, DF());
      if (end == x) Pixel<FloatSum>(row, x, scale);
    } else if (window.count <= kMaxFloatRow) {
      Pixel<RowwiseSum>(row, x, scale);
    } else {
      Pixel<DoubleSum>(row, x, scale);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace plica
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(MaxRow);
HWY_EXPORT(AverageRow);

class PoolKernel final : public Kernel, public RowSumReader {
 public:
  explicit PoolKernel(PoolProblem problem) : p_(std::move(problem)) {
    choose_target();
    row_fn_ = p_.kind == PoolProblem::Kind::kMax ? HWY_DYNAMIC_POINTER(MaxRow)
                                                 : HWY_DYNAMIC_POINTER(AverageRow);
    rows_ = p_.batch * size(p_.depth) * size(p_.height);
    // Few rows, e.g. global pooling: threads share the channels as well.
    chunk_ = rows_ < 16 ? std::min<int64_t>(p_.channels, 128) : p_.channels;
    chunks_ = chunk_ == 0 ? 0 : (p_.channels + chunk_ - 1) / chunk_;
    // Output rows of one task: enough work to be worth handing over.
    group_ = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, p_.width.in * chunk_));
    find_even_windows();
    if (size(p_.depth) != 1 || p_.depth.in != 1) return;
    layout_ = {.images = p_.batch,
               .in_rows = p_.height.in,
               .out_rows = size(p_.height),
               .in_row = p_.width.in * p_.src_pixel_stride,
               .out_row = size(p_.width) * p_.dst_pixel_stride};
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const float* src = args.in[0];
    float* dst = args.out[0];
    team.for_each((rows_ + group_ - 1) / group_ * chunks_, [&](int64_t task, int) {
      const int64_t oh = size(p_.height), od = size(p_.depth);
      const int64_t begin = task / chunks_ * group_, end = std::min(rows_, begin + group_);
      int64_t y = begin % oh, plane = begin / oh % od, image = begin / oh / od;
      for (int64_t index = begin; index < end; ++index) {
        run_row(src, dst + index * size(p_.width) * p_.dst_pixel_stride, image, plane, y,
                task % chunks_ * chunk_, std::min(end - index, oh - y));
        if (++y < oh) continue;
        y = 0;
        if (++plane < od) continue;
        plane = 0;
        ++image;
      }
    });
  }

  std::unique_ptr<Kernel> from_row_sums() const override {
    const auto is_whole = [](const PoolAxis& axis) {
      return axis.windows.size() == 1 && axis.windows[0].count == axis.in && axis.step == 1;
    };
    const bool mean = p_.kind == PoolProblem::Kind::kAverage && p_.depth.in == 1 &&
                      is_whole(p_.depth) && is_whole(p_.height) && is_whole(p_.width);
    const bool by_rows = p_.height.in * p_.width.in > kMaxFloatTaps && p_.width.in <= kMaxFloatRow;
    if (!mean || !by_rows) return nullptr;
    PoolProblem sums = p_;
    sums.row_sums = true;
    if (sums.divisor == 0) {
      sums.divisor = p_.height.windows[0].divisor * p_.width.windows[0].divisor;
    }
    sums.width = {};
    sums.src_pixel_stride = p_.channels;
    return std::make_unique<PoolKernel>(std::move(sums));
  }
  Shape summed_shape() const override { return {p_.batch, p_.channels, p_.height.in, p_.width.in}; }

  const RowLayout* row_layout() const override { return layout_.images > 0 ? &layout_ : nullptr; }
  RowRange rows_needed(RowRange out) const noexcept override {
    RowRange in{p_.height.in, 0};
    for (int64_t y = out.begin; y < out.end; ++y) {
      const PoolAxis::Window& window = p_.height.windows[static_cast<size_t>(y)];
      if (window.count == 0) continue;
      in.begin = std::min(in.begin, window.first);
      in.end = std::max(in.end, window.first + (window.count - 1) * p_.height.step + 1);
    }
    return {std::min(in.begin, in.end), in.end};
  }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    for (int64_t y = out.begin; y < out.end; ++y) {
      float* dst = args.out[0] + (image * layout_.out_rows + y) * layout_.out_row;
      for (int64_t c = 0; c < chunks_; ++c) {
        run_row(args.in[0], dst, image, 0, y, c * chunk_, out.end - y);
      }
    }
  }

 private:
  static int64_t size(const PoolAxis& axis) { return static_cast<int64_t>(axis.windows.size()); }

  /// The longest run of windows of one size along the width from the first that is as large as any.
  void find_even_windows() {
    const std::vector<PoolAxis::Window>& w = p_.width.windows;
    if (w.empty()) return;
    const auto first = std::max_element(
        w.begin(), w.end(), [](const auto& a, const auto& b) { return a.count < b.count; });
    even_begin_ = first - w.begin();
    even_end_ = even_begin_ + 1;
    if (first + 1 != w.end()) even_step_ = first[1].first - first->first;
    while (even_end_ < size(p_.width)) {
      const PoolAxis::Window &last = w[static_cast<size_t>(even_end_ - 1)],
                             &next = w[static_cast<size_t>(even_end_)];
      if (next.first - last.first != even_step_ || next.count != last.count ||
          next.divisor != last.divisor) {
        break;
      }
      ++even_end_;
    }
  }

  /// `rows_left`: of the plane, this one and those that the caller goes on with.
  void run_row(const float* src, float* dst, int64_t image, int64_t plane, int64_t y,
               int64_t channel, int64_t rows_left) const {
    const PoolAxis::Window& rows = p_.height.windows[static_cast<size_t>(y)];
    const PoolAxis::Window& planes = p_.depth.windows[static_cast<size_t>(plane)];
    const int64_t row_stride = p_.width.in * p_.src_pixel_stride;
    const int64_t plane_stride = p_.height.in * row_stride;
    PoolRow row;
    row.src = src + image * p_.depth.in * plane_stride + planes.first * plane_stride +
              rows.first * row_stride + channel;
    row.dst = dst + channel;
    row.channels = std::min(chunk_, p_.channels - channel);
    row.pixel_stride = p_.src_pixel_stride;
    row.dst_stride = p_.dst_pixel_stride;
    row.planes = planes.count;
    row.plane_step = p_.depth.step * plane_stride;
    row.rows = rows.count;
    row.row_step = p_.height.step * row_stride;
    row.col_step = p_.width.step * p_.src_pixel_stride;
    row.windows = p_.width.windows.data();
    row.pixels = size(p_.width);
    row.even_begin = even_begin_;
    row.even_end = even_end_;
    row.even_step = even_step_ * p_.src_pixel_stride;
    row.readable = row_stride - p_.src_pixel_stride + row.channels;
    row.writable = (row.pixels - 1) * row.dst_stride + row.channels;
    if (rows_left > 1) {
      // The next row's window ends lower, or where this one does.
      const PoolAxis::Window& next = p_.height.windows[static_cast<size_t>(y + 1)];
      const int64_t lower = next.first + (next.count - 1) * p_.height.step -
                            (rows.first + (rows.count - 1) * p_.height.step);
      row.readable += std::max<int64_t>(0, lower) * row_stride;
      row.writable += row.pixels * row.dst_stride;
    }
    row.fixed_divisor = p_.divisor != 0;
    row.row_sums = p_.row_sums;
    row.outer_divisor = row.fixed_divisor ? p_.divisor : planes.divisor * rows.divisor;
    row_fn_(row);
  }

  PoolProblem p_;
  void (*row_fn_)(const PoolRow&);
  int64_t rows_ = 0, chunk_ = 0, chunks_ = 0, group_ = 1;
  int64_t even_begin_ = 0, even_end_ = 0, even_step_ = 0;
  RowLayout layout_;
};

}  // namespace

std::unique_ptr<Kernel> make_pool_kernel(PoolProblem problem) {
  return std::make_unique<PoolKernel>(std::move(problem));
}

}  // namespace plica
#endif  // HWY_ONCE
