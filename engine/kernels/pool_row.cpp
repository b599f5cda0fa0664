#include "engine/kernels/pool_row.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/pool_row.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DD = hn::ScalableTag<double>;
using VD = hn::Vec<DD>;
using DHalf = hn::Rebind<float, DD>;

/// A whole vector.
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
/// The first `count` lanes.
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

// The accumulators: of a window without taps, of one tap, one more tap, those of another part of
// the window behind this one, the result. `scale` is the reciprocal of the average's divisor.

template <class Tag>
struct MaximumOf {
  using D = Tag;
  using Vec = hn::Vec<D>;
  struct State {
    Vec max;
    hn::Mask<D> nan;
  };
  static HWY_INLINE State none() {
    return of(hn::Set(D(), -std::numeric_limits<float>::infinity()));
  }
  static HWY_INLINE State of(Vec x) { return {x, hn::IsNaN(x)}; }
  static HWY_INLINE void tap(State& state, Vec x) { merge(state, of(x)); }
  static HWY_INLINE void merge(State& state, const State& behind) {
    state.max = hn::Max(state.max, behind.max);
    state.nan = hn::Or(state.nan, behind.nan);
  }
  static HWY_INLINE Vec result(const State& state, float) {
    return hn::IfThenElse(state.nan, hn::NaN(D()), state.max);
  }
};

/// The same of numbers, without the comparisons and masks, which take twice as long as the maximum.
/// Taps are summed up besides: a sum is NaN if a tap is, and otherwise only for infinities.
struct MaximumOfNumbers {
  using D = DF;
  using Vec = hn::Vec<D>;
  struct State {
    Vec max, sum;
  };
  static HWY_INLINE State of(Vec x) { return {x, x}; }
  static HWY_INLINE void tap(State& state, Vec x) { merge(state, of(x)); }
  static HWY_INLINE void merge(State& state, const State& behind) {
    state.max = hn::Max(state.max, behind.max);
    state.sum = hn::Add(state.sum, behind.sum);
  }
  static HWY_INLINE Vec result(const State& state, float) { return state.max; }
};

template <class Tag>
struct FloatSumOf {
  using D = Tag;
  using Vec = hn::Vec<D>;
  struct State {
    Vec sum;
  };
  static HWY_INLINE State none() { return {hn::Zero(D())}; }
  static HWY_INLINE State of(Vec x) { return {x}; }
  static HWY_INLINE void tap(State& state, Vec x) { state.sum = hn::Add(state.sum, x); }
  static HWY_INLINE void merge(State& state, const State& behind) { tap(state, behind.sum); }
  static HWY_INLINE Vec result(const State& state, float scale) {
    return hn::Mul(state.sum, hn::Set(D(), scale));
  }
};

/// Maxima, and averages in float, of neighbouring vectors of one pixel.
template <class Acc>
struct FloatWindow {
  using D = typename Acc::D;
  using Scale = float;  // the reciprocal of the divisor

  /// Of a window of `cols` columns, and kRows rows of one plane, or, if that is 0, all rows of all
  /// planes.
  template <int kRows, int kVectors, class Access>
  static HWY_INLINE void run(const PoolRow& row, const float* src, int64_t cols, float scale,
                             Access access, float* dst) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    typename Acc::State state[kVectors];
    for (int v = 0; v < kVectors; ++v) state[v] = Acc::none();
    const int64_t planes = kRows > 0 ? 1 : row.planes, rows = kRows > 0 ? kRows : row.rows;
    for (int64_t plane = 0; plane < planes; ++plane) {
      for (int64_t y = 0; y < rows; ++y) {
        const float* p = src + plane * row.plane_step + y * row.row_step;
        for (int64_t x = 0; x < cols; ++x, p += row.col_step) {
          for (int v = 0; v < kVectors; ++v) Acc::tap(state[v], access.load(d, p + v * lanes));
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      access.store(Acc::result(state[v], scale), d, dst + v * lanes);
    }
  }
};

/// Averages of large windows: of all taps in double, or of what rows sum up to in float.
template <bool kRowsInFloat>
struct DoubleWindow {
  using D = DHalf;
  using Scale = double;  // the divisor

  template <int, int kVectors, class Access>
  static HWY_INLINE void run(const PoolRow& row, const float* src, int64_t cols, double divisor,
                             Access access, float* dst) {
    const DD d;
    const D half;
    const size_t lanes = hn::Lanes(d);
    VD sum[kVectors];
    for (int v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
    for (int64_t plane = 0; plane < row.planes; ++plane) {
      for (int64_t y = 0; y < row.rows; ++y) {
        const float* p = src + plane * row.plane_step + y * row.row_step;
        hn::Vec<D> in_row[kVectors];
        for (int v = 0; v < kVectors; ++v) in_row[v] = hn::Zero(half);
        for (int64_t x = 0; x < cols; ++x, p += row.col_step) {
          for (int v = 0; v < kVectors; ++v) {
            const auto value = access.load(half, p + v * lanes);
            if (kRowsInFloat) {
              in_row[v] = hn::Add(in_row[v], value);
            } else {
              sum[v] = hn::Add(sum[v], hn::PromoteTo(d, value));
            }
          }
        }
        for (int v = 0; kRowsInFloat && v < kVectors; ++v) {
          sum[v] = hn::Add(sum[v], hn::PromoteTo(d, in_row[v]));
        }
      }
    }
    const VD all = hn::Set(d, divisor);
    for (int v = 0; v < kVectors; ++v) {
      access.store(hn::DemoteTo(half, hn::Div(sum[v], all)), half, dst + v * lanes);
    }
  }
};

/// Calls body(access, channel) for all channels; the last vector overlaps the one before it.
/// `roomy`: a whole vector may be read and written even if there are fewer channels.
template <class D, class Body>
HWY_INLINE void for_each_vector(D d, int64_t channels, bool roomy, Body body) {
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

/// Of few channels: a vector that starts at the pixel reaches into the pixels behind it.
HWY_INLINE bool is_roomy(const PoolRow& row, int64_t x, int64_t lanes) {
  const PoolAxis::Window& window = row.windows[x];
  const int64_t last = window.first * row.pixel_stride + (window.count - 1) * row.col_step;
  return row.channels == row.dst_stride && last + lanes <= row.readable &&
         x * row.channels + lanes <= row.writable;
}

template <class Window>
HWY_INLINE void run_pixel(const PoolRow& row, int64_t x, typename Window::Scale scale) {
  const typename Window::D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* src = row.src + row.windows[x].first * row.pixel_stride;
  const int64_t cols = row.windows[x].count;
  float* dst = row.dst + x * row.dst_stride;
  const bool roomy = row.channels < lanes && is_roomy(row, x, lanes);
  if (row.planes == 1 && row.rows == 2 && cols == 2) {
    for_each_vector(d, row.channels, roomy, [&](auto access, int64_t c) HWY_ATTR {
      Window::template run<2, 1>(row, src + c, 2, scale, access, dst + c);
    });
    return;
  }
  if (row.planes == 1 && row.rows == 3 && cols == 3) {
    for_each_vector(d, row.channels, roomy, [&](auto access, int64_t c) HWY_ATTR {
      Window::template run<3, 1>(row, src + c, 3, scale, access, dst + c);
    });
    return;
  }
  int64_t c = 0;
  for (; c + 4 * lanes <= row.channels; c += 4 * lanes) {
    Window::template run<0, 4>(row, src + c, cols, scale, Whole(), dst + c);
  }
  if (c == row.channels) return;
  // Fewer than four vectors are left; an overlap may reach back into what is done.
  const int64_t from = c;
  for_each_vector(d, row.channels - from, roomy, [&](auto access, int64_t k) HWY_ATTR {
    Window::template run<0, 1>(row, src + from + k, cols, scale, access, dst + from + k);
  });
}

HWY_INLINE int64_t divisor_of(const PoolRow& row, const PoolAxis::Window& window) {
  if (row.planes * row.rows * window.count == 0) return 1;
  return row.fixed_divisor ? row.outer_divisor : row.outer_divisor * window.divisor;
}

// Runs of even windows, which need no case distinction for each; they return their end.

template <class Acc, int kSize>
HWY_INLINE void run_few_channels(const PoolRow& row, int64_t begin, int64_t end, float scale) {
  const float* src = row.src + row.windows[begin].first * row.pixel_stride;
  float* dst = row.dst + begin * row.dst_stride;
  for (int64_t x = begin; x < end; ++x, src += row.even_step, dst += row.dst_stride) {
    FloatWindow<Acc>::template run<kSize, 1>(row, src, kSize, scale, Whole(), dst);
  }
}

/// At most a vector of channels.
template <template <class> class AccOf, class D>
HWY_INLINE int64_t run_few_channels(const PoolRow& row, int64_t begin, float scale, D d) {
  using Acc = AccOf<D>;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if constexpr (hn::MaxLanes(d) > 4) {
    // Half as many loads lie across two lines of the cache.
    if (2 * row.channels <= lanes) {
      return run_few_channels<AccOf>(row, begin, scale, hn::Half<D>());
    }
  }
  if (row.planes != 1) return begin;
  int64_t end = row.even_end;
  while (end > begin && !is_roomy(row, end - 1, lanes)) --end;
  if (end == begin) return begin;
  const int64_t cols = row.windows[begin].count;
  if (row.rows == 2 && cols == 2) {
    run_few_channels<Acc, 2>(row, begin, end, scale);
  } else if (row.rows == 3 && cols == 3) {
    run_few_channels<Acc, 3>(row, begin, end, scale);
  } else {
    return begin;
  }
  return end;
}

/// One column of a window, which has taps, from `p` on: kRows rows of one plane, or, if that is 0,
/// all rows of all planes.
template <class Acc, int kRows>
HWY_INLINE typename Acc::State column(const PoolRow& row, const float* p) {
  const typename Acc::D d;
  typename Acc::State state = Acc::of(hn::LoadU(d, p));
  if constexpr (kRows > 0) {
    HWY_UNROLL(8)
    for (int y = 1; y < kRows; ++y) Acc::tap(state, hn::LoadU(d, p + y * row.row_step));
  } else {
    for (int64_t plane = 0; plane < row.planes; ++plane, p += row.plane_step) {
      for (int64_t y = plane == 0 ? 1 : 0; y < row.rows; ++y) {
        Acc::tap(state, hn::LoadU(d, p + y * row.row_step));
      }
    }
  }
  return state;
}

/// A vector of `pixels` pixels whose windows are kCols columns wide and kStride apart. Each column
/// is computed once, and shown to `watch`.
template <class Acc, int kRows, int kCols, int kStride, class Watch>
HWY_INLINE void slide(const PoolRow& row, const float* src, int64_t pixels, float scale, float* dst,
                      Watch watch) {
  const typename Acc::D d;
  constexpr int kShared = kCols - kStride;
  typename Acc::State seen[kCols];
  const auto see = [&](int i) HWY_ATTR {
    seen[i] = column<Acc, kRows>(row, src);
    watch(seen[i]);
    src += row.pixel_stride;
  };
  HWY_UNROLL(8)
  for (int i = 0; i < kShared; ++i) see(i);
  for (int64_t p = 0; p < pixels; ++p, dst += row.dst_stride) {
    HWY_UNROLL(8)
    for (int i = kShared; i < kCols; ++i) see(i);
    typename Acc::State window = seen[0];
    HWY_UNROLL(8)
    for (int i = 1; i < kCols; ++i) Acc::merge(window, seen[i]);
    hn::StoreU(Acc::result(window, scale), d, dst);
    HWY_UNROLL(8)
    for (int i = 0; i < kShared; ++i) seen[i] = seen[i + kStride];
  }
}

/// `pixels` pixels whose windows are kCols columns wide and touch: in the order of memory. Each
/// window is shown to `watch`.
template <class Acc, int kRows, int kCols, class Watch>
HWY_INLINE void tile(const PoolRow& row, const float* src, int64_t pixels, float scale, float* dst,
                     Watch watch) {
  const typename Acc::D d;
  for (int64_t p = 0; p < pixels; ++p, dst += row.dst_stride) {
    for_each_vector(d, row.channels, false, [&](auto, int64_t c) HWY_ATTR {
      typename Acc::State window = column<Acc, kRows>(row, src + c);
      HWY_UNROLL(8)
      for (int i = 1; i < kCols; ++i) {
        Acc::merge(window, column<Acc, kRows>(row, src + c + i * row.pixel_stride));
      }
      watch(window);
      hn::StoreU(Acc::result(window, scale), d, dst + c);
    });
    src += kCols * row.pixel_stride;
  }
}

/// Calls body(accumulator, rows, watch) for averages.
template <int kRows, class Body>
HWY_INLINE void with_accumulator(FloatSumOf<DF> acc, const Body& body) {
  body(acc, std::integral_constant<int, kRows>(), [](auto&) {});
}
/// And for maxima: once more, with the masks, if there may be NaN.
template <int kRows, class Body>
HWY_INLINE void with_accumulator(MaximumOf<DF> acc, const Body& body) {
  auto sum = hn::Zero(DF());
  const auto add = [&](const auto& seen) HWY_ATTR { sum = hn::Add(sum, seen.sum); };
  body(MaximumOfNumbers(), std::integral_constant<int, kRows>(), add);
  if (hn::AllFalse(DF(), hn::IsNaN(sum))) return;
  body(acc, std::integral_constant<int, 0>(), [](auto&) {});
}

template <class Acc, int kRows, int kCols, int kStride>
HWY_NOINLINE void run_vectors(const PoolRow& row, const float* src, int64_t pixels, float scale,
                              float* dst) {
  for_each_vector(DF(), row.channels, false, [&](auto, int64_t c) HWY_ATTR {
    with_accumulator<kRows>(Acc(), [&](auto acc, auto rows, auto watch) HWY_ATTR {
      slide<decltype(acc), rows(), kCols, kStride>(row, src + c, pixels, scale, dst + c, watch);
    });
  });
}

template <class Acc, int kRows, int kCols>
HWY_NOINLINE void run_pixels(const PoolRow& row, const float* src, int64_t pixels, float scale,
                             float* dst) {
  with_accumulator<kRows>(Acc(), [&](auto acc, auto rows, auto watch) HWY_ATTR {
    tile<decltype(acc), rows(), kCols>(row, src, pixels, scale, dst, watch);
  });
}

/// At least a vector of channels.
template <class Acc, int kCols>
HWY_INLINE int64_t run_touching(const PoolRow& row, int64_t begin, float scale) {
  const auto run = row.planes == 1 && row.rows == kCols ? run_pixels<Acc, kCols, kCols>
                                                        : run_pixels<Acc, 0, kCols>;
  run(row, row.src + row.windows[begin].first * row.pixel_stride, row.even_end - begin, scale,
      row.dst + begin * row.dst_stride);
  return row.even_end;
}

/// At least a vector of channels.
template <class Acc, int kCols, int kStride>
HWY_INLINE int64_t run_overlapping(const PoolRow& row, int64_t begin, float scale) {
  const auto run = row.planes == 1 && row.rows == kCols ? run_vectors<Acc, kCols, kCols, kStride>
                                                        : run_vectors<Acc, 0, kCols, kStride>;
  // Of a row of the input; all vectors of so many pixels before the next ones, since pixels of many
  // channels lie far apart.
  constexpr int64_t kBytes = 16 * 1024;
  const int64_t pixel_bytes = row.pixel_stride * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::max<int64_t>(kBytes / pixel_bytes, kCols);
  for (int64_t x = begin, end; x < row.even_end; x = end) {
    end = std::min(x + most, row.even_end);
    run(row, row.src + row.windows[x].first * row.pixel_stride, end - x, scale,
        row.dst + x * row.dst_stride);
  }
  return row.even_end;
}

template <template <class> class AccOf>
HWY_INLINE int64_t run_even(const PoolRow& row, int64_t begin, float scale) {
  using Acc = AccOf<DF>;
  if (begin != row.even_begin) return begin;
  const auto lanes = static_cast<int64_t>(hn::Lanes(DF()));
  const bool has_taps = row.planes * row.rows > 0;
  if (row.channels >= lanes && row.col_step == row.pixel_stride && has_taps) {
    const int64_t cols = row.windows[begin].count, stride = row.even_step / row.pixel_stride;
    if (cols == 2 && stride == 1) return run_overlapping<Acc, 2, 1>(row, begin, scale);
    if (cols == 2 && stride == 2) return run_touching<Acc, 2>(row, begin, scale);
    if (cols == 3 && stride == 1) return run_overlapping<Acc, 3, 1>(row, begin, scale);
    if (cols == 3 && stride == 2) return run_overlapping<Acc, 3, 2>(row, begin, scale);
    if (cols == 5 && stride == 1) return run_overlapping<Acc, 5, 1>(row, begin, scale);
  }
  return row.channels <= lanes ? run_few_channels<AccOf>(row, begin, scale, DF()) : begin;
}

void max_row(const PoolRow& row) {
  for (int64_t x = 0, end = 0; x < row.pixels; x = std::max(x + 1, end)) {
    end = run_even<MaximumOf>(row, x, 1);
    if (end == x) run_pixel<FloatWindow<MaximumOf<DF>>>(row, x, 1);
  }
}

void average_row(const PoolRow& row) {
  for (int64_t x = 0, end = 0; x < row.pixels; x = std::max(x + 1, end)) {
    const PoolAxis::Window& window = row.windows[x];
    const int64_t divisor = divisor_of(row, window);
    if (!row.row_sums && row.planes * row.rows * window.count <= kMaxFloatTaps) {
      const float scale = 1.0f / static_cast<float>(divisor);
      end = run_even<FloatSumOf>(row, x, scale);
      if (end == x) run_pixel<FloatWindow<FloatSumOf<DF>>>(row, x, scale);
    } else if (window.count <= kMaxFloatRow) {
      run_pixel<DoubleWindow<true>>(row, x, static_cast<double>(divisor));
    } else {
      run_pixel<DoubleWindow<false>>(row, x, static_cast<double>(divisor));
    }
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(max_row);
HWY_EXPORT(average_row);

PoolRowFn pool_row_function(PoolProblem::Kind kind) {
  choose_target();
  return kind == PoolProblem::Kind::kMax ? HWY_DYNAMIC_POINTER(max_row)
                                         : HWY_DYNAMIC_POINTER(average_row);
}

}  // namespace plica
#endif  // HWY_ONCE
