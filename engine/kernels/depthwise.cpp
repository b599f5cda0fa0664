#include "engine/kernels/depthwise.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/depthwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/conv_line-inl.h"
#include "engine/kernels/depthwise_line-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

int64_t lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

/// From the weights of one tap to those of the next.
int64_t padded_channels(const IgemmShape& s) { return round_up(output_channels(s), lanes()); }

/// What a vector of output channels from `c` on, or `left` of them, reads of a pixel: as many
/// channels. In the order of lanes.
struct OwnChannels {
  int64_t first;
  size_t count;

  OwnChannels(const IgemmShape&, int64_t c, size_t left)
      : first(c), count(std::min(left, static_cast<size_t>(lanes()))) {}
  HWY_INLINE V in_order(V loaded) const { return loaded; }
};

/// Where the channels of a group share what they read.
struct SharedChannels {
  using Signed = hn::RebindToSigned<D>;
  int64_t first;
  size_t count;
  decltype(hn::IndicesFromVec(D(), hn::Zero(Signed()))) order;

  SharedChannels(const IgemmShape& s, int64_t c, size_t) {
    const D d;
    const Signed di;
    const auto oc = static_cast<uint32_t>(s.oc), group = static_cast<uint32_t>(c) / oc;
    first = std::clamp<int64_t>(s.groups - lanes(), 0, group);
    count = static_cast<size_t>(std::min(s.groups - first, lanes()));
    // The whole part of (c + lane) / oc - first; half a channel is more than rounding errors are.
    const auto channel = hn::Iota(d, static_cast<float>(c - first * s.oc) + 0.5f);
    const auto group_of = hn::Mul(channel, hn::Set(d, 1.0f / static_cast<float>(s.oc)));
    // Lanes behind the last channel may be beyond the vector.
    const auto most = hn::Set(di, static_cast<int32_t>(lanes() - 1));
    order = hn::IndicesFromVec(d, hn::Min(hn::ConvertTo(di, group_of), most));
  }
  HWY_INLINE V in_order(V loaded) const { return hn::TableLookupLanes(loaded, order); }
};

/// Output pixels [ox, ox + kPixels), which all see the taps [t0, t1) of axis 2.
template <class Inputs, int kPixels>
void run_pixels(const ConvLine& line, int64_t ox, int64_t t0, int64_t t1) {
  const D d;
  const IgemmShape& s = *line.shape;
  const auto& [z, y, x] = s.axis;
  const int64_t channels = line.end, padded = padded_channels(s);
  const int64_t src_step = x.stride * s.src_pixel;
  const int64_t dst_step = x.dst_step * s.dst_pixel;
  const int64_t residual_step = x.dst_step * s.residual_pixel;
  const float* src = line.src + (ox * x.stride + x.origin) * s.src_pixel;
  const TapRange planes = taps_inside(z, line.z0), rows = taps_inside(y, line.y0);
  const V lo = hn::Set(d, line.epilogue->lo), hi = hn::Set(d, line.epilogue->hi);
  for (int64_t c = line.begin; c < channels; c += lanes()) {
    const auto left = static_cast<size_t>(channels - c);
    const bool whole = channels - c >= lanes();
    const Inputs inputs(s, c, left);
    const bool whole_input = inputs.count == static_cast<size_t>(lanes());
    const V bias = hn::Load(d, line.epilogue->bias + c);
    V sum[kPixels];
    for (int p = 0; p < kPixels; ++p) sum[p] = bias;
    for (int64_t tz = planes.first; tz < planes.last; ++tz) {
      const int64_t iz = line.z0 + tz * z.step;
      for (int64_t ty = rows.first; ty < rows.last; ++ty) {
        const int64_t iy = line.y0 + ty * y.step;
        const float* from =
            src + ((iz * y.in + iy) * x.in + t0 * x.step) * s.src_pixel + inputs.first;
        const float* w = line.packed + ((tz * y.taps + ty) * x.taps + t0) * padded + c;
        for (int64_t t = t0; t < t1; ++t, from += x.step * s.src_pixel, w += padded) {
          const V weight = hn::Load(d, w);
          for (int p = 0; p < kPixels; ++p) {
            const float* at = from + p * src_step;
            const V value = whole_input ? hn::LoadU(d, at) : hn::LoadN(d, at, inputs.count);
            sum[p] = hn::MulAdd(inputs.in_order(value), weight, sum[p]);
          }
        }
      }
    }
    for (int p = 0; p < kPixels; ++p) {
      V value = sum[p];
      if (line.residual) {
        const float* at = line.residual + (ox + p) * residual_step + c;
        value = hn::Add(value, whole ? hn::LoadU(d, at) : hn::LoadN(d, at, left));
      }
      // x86's minimum and maximum are their second operand if one is NaN.
      value = hn::Min(hi, hn::Max(lo, value));
      float* to = line.dst + (ox + p) * dst_step + c;
      if (whole) {
        hn::StoreU(value, d, to);
      } else {
        hn::StoreN(value, d, to, left);
      }
    }
  }
}

template <class Inputs>
void run_line(const ConvLine& line) {
  constexpr int kPixels = 4;
  const IgemmShape& s = *line.shape;
  const IgemmAxis& x = s.axis[2];
  for (int64_t ox = 0; ox < x.out;) {
    const auto inside = [&](int64_t o) {
      const int64_t first = o * x.stride + x.origin;
      return first >= 0 && first + (x.taps - 1) * x.step < x.in;
    };
    if (ox + kPixels <= x.out && inside(ox) && inside(ox + kPixels - 1)) {
      run_pixels<Inputs, kPixels>(line, ox, 0, x.taps);
      ox += kPixels;
      continue;
    }
    const TapRange taps = taps_inside(x, ox * x.stride + x.origin);
    run_pixels<Inputs, 1>(line, ox, taps.first, taps.last);
    ++ox;
  }
}

/// D: vectors of channels. kPlanes: axis 0 has taps, too.
template <class D, int kTaps, int kStride, bool kPlanes>
struct DepthwiseTile {
  using V = hn::Vec<D>;
  static constexpr bool kWhole = std::is_same_v<D, hn::ScalableTag<float>>;
  /// So many sums, the weights of a row of the kernel and an input fit into 16 registers; the
  /// widths of most images are multiples of 7. What is rare should not take as much code.
  static constexpr int kMostPixels = kWhole && !kPlanes ? 7 : 4;

  static int64_t lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

  /// Of at least a vector of channels.
  template <int kPixels, bool kInside>
  static HWY_NOINLINE void run(const ConvLine& line, const Rows& rows, int64_t ox) {
    // Neighbouring columns add to the same sums. Those of one vector of channels are too few to
    // hide the latency of an addition.
    constexpr int kVecs = HWY_TARGET <= HWY_AVX3 && kTaps <= 5 && kWhole ? 2 : 1;
    if (line.end - line.begin >= kVecs * lanes()) {
      run_all_vectors<kPixels, kInside, kVecs>(line, rows, ox);
    } else {
      run_all_vectors<kPixels, kInside, 1>(line, rows, ox);
    }
  }

  /// kVecs vectors of channels at a time. The last ones overlap those before them, and compute the
  /// channels that they have in common once more.
  template <int kPixels, bool kInside, int kVecs>
  static HWY_INLINE void run_all_vectors(const ConvLine& line, const Rows& rows, int64_t ox) {
    const int64_t step = kVecs * lanes(), last = line.end - step;
    for (int64_t c = line.begin; c < last; c += step) {
      run_vectors<kPixels, kInside, kVecs>(line, rows, ox, c);
    }
    run_vectors<kPixels, kInside, kVecs>(line, rows, ox, last);
  }

  /// kVecs vectors of channels from `c` on.
  template <int kPixels, bool kInside, int kVecs>
  static HWY_INLINE void run_vectors(const ConvLine& line, const Rows& rows, int64_t ox,
                                     int64_t c) {
    const IgemmShape& s = *line.shape;
    const Columns<(kPixels - 1) * kStride + kTaps, kTaps, kInside> columns(s.axis[2], ox);
    V sum[kVecs][kPixels];
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) begin_sums<kPixels>(line, c + v * lanes(), sum[v]);
    const float* from = rows.src + columns.first * s.src_pixel + c;
    const int64_t row = kTaps * padded_channels(s);
    const float* w = line.packed + rows.taps.first * row + c;
    if constexpr (kPlanes) {
      w += rows.planes.first * s.axis[1].taps * row;
      for (int64_t z = rows.planes.first; z < rows.planes.last; ++z) {
        add_rows<kPixels, kInside, kVecs>(s, rows, columns, from, w, sum);
        from += rows.plane;
        w += s.axis[1].taps * row;
      }
    } else {
      add_rows<kPixels, kInside, kVecs>(s, rows, columns, from, w, sum);
    }
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) store_sums<kPixels>(line, sum[v], ox, c + v * lanes());
  }

  /// Adds the products of a plane, from whose row `from` is.
  template <int kPixels, bool kInside, int kVecs, class SeenColumns>
  static HWY_INLINE void add_rows(const IgemmShape& s, const Rows& rows, const SeenColumns& columns,
                                  const float* from, const float* w, V (&sum)[kVecs][kPixels]) {
    const D d;
    constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
    const int64_t padded = padded_channels(s), pixel = s.src_pixel, pixel3 = 3 * pixel;
    for (int64_t left = rows.taps.last - rows.taps.first; left > 0;
         --left, from += rows.row, w += kTaps * padded) {
      V weight[kVecs][kTaps];
      HWY_UNROLL(32)
      for (int t = 0; t < kTaps; ++t) {
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) weight[v][t] = hn::LoadU(d, w + t * padded + v * lanes());
      }
      // Columns 4 * i + (0, 1, 2, 3) are at base[i] + (0, 1, 2, 3) pixels: more pointers than that
      // do not fit into the registers.
      constexpr int kBases = (kColumns + 3) / 4;
      const float* base[kBases];
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) {
        base[i] = from + 4 * i * pixel;
        asm("" : "+r"(base[i]));
      }
      // Each input is loaded once for all pixels.
      HWY_UNROLL(32)
      for (int i = 0; i < kColumns; ++i) {
        if (columns.outside(i)) continue;
        const float* at = base[i / 4] + (i % 4 == 3 ? pixel3 : i % 4 * pixel);
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) {
          V value = hn::LoadU(d, at + v * lanes());
          keep_in_register(value);
          // The next vectors of channels; the processor does not foresee so many pixels.
          if (left == 1) __builtin_prefetch(at + (kVecs + v) * lanes(), 0, 3);
          add_column<kPixels, kTaps, kStride>(i, value, weight[v], sum[v]);
        }
      }
    }
  }
};

/// Whether run_three_tap_lines() computes lines of this convolution. Those of one tile are as fast
/// by tiles.
bool has_three_taps(const IgemmShape& s) {
  const auto& [z, y, x] = s.axis;
  return x.out > DepthwiseTile<D, 3, 1, false>::kMostPixels && s.oc == 1 && z == IgemmAxis() &&
         y.taps <= 3 && x.taps == 3 && x.step == 1 && x.stride <= 2 && has_plain_lines(s);
}

/// Of at least a vector of channels.
template <class D, int kStride>
void run_three_tap_lines(const ConvLine& all) {
  const IgemmAxis& y = all.shape->axis[1];
  const int64_t padded = padded_channels(*all.shape);
  for (ConvLine lines = all; lines.count > 0;) {
    const Rows rows(lines);
    ConvLine same = lines;  // those that see the same taps
    same.count = 1;
    while (same.count < lines.count &&
           taps_inside(y, lines.y0 + same.count * y.stride) == rows.taps) {
      ++same.count;
    }
    const int64_t taps = same.residual ? 0 : rows.taps.last - rows.taps.first;
    if (taps == 3) {
      run_three_taps<D, kStride, 3>(same, rows, padded);
    } else if (taps == 2) {
      run_three_taps<D, kStride, 2>(same, rows, padded);
    } else if (taps == 1) {
      run_three_taps<D, kStride, 1>(same, rows, padded);
    } else {
      same.count = 1;
      run_tiles<DepthwiseTile<D, 3, kStride, false>>(same, rows);
    }
    lines.skip(same.count);
  }
}

/// Kernels of any width.
template <class Inputs, int kStride>
struct DepthwisePieces {
  /// So many sums hide the latency of an addition; with the weights of a piece and an input they
  /// fit into 16 registers.
  static constexpr int kMostPixels = 8;
  static constexpr int kPiece = 4;  // taps

  /// Of at least a vector of output channels, and of input channels.
  template <int kPixels, bool>
  static void run(const ConvLine& line, const Rows& rows, int64_t ox) {
    run_all<kPixels>(line, rows, ox);
  }

  template <int kPixels>
  static HWY_NOINLINE void run_all(const ConvLine& line, const Rows& rows, int64_t ox) {
    // The last vector overlaps the one before it.
    const int64_t last = line.end - lanes();
    for (int64_t c = line.begin; c < line.end; c += lanes()) {
      run_vector<kPixels>(line, rows, ox, std::min(c, last));
    }
  }

  template <int kPixels>
  static HWY_INLINE void run_vector(const ConvLine& line, const Rows& rows, int64_t ox, int64_t c) {
    const IgemmShape& s = *line.shape;
    const IgemmAxis& x = s.axis[2];
    const Inputs inputs(s, c, static_cast<size_t>(lanes()));
    const int64_t padded = padded_channels(s), first = ox * x.stride + x.origin;
    V sum[kPixels];
    begin_sums<kPixels>(line, c, sum);
    const float* row = rows.src + inputs.first;
    const float* w = line.packed + rows.taps.first * x.taps * padded + c;
    for (int64_t y = rows.taps.first; y < rows.taps.last; ++y, row += rows.row) {
      int64_t t = 0;
      for (; t + kPiece <= x.taps; t += kPiece, w += kPiece * padded) {
        add_piece<kPixels, kPiece>(s, inputs, row, first + t, w, padded, sum);
      }
      const int64_t left = x.taps - t;
      if (left == 1) add_piece<kPixels, 1>(s, inputs, row, first + t, w, padded, sum);
      if (left == 2) add_piece<kPixels, 2>(s, inputs, row, first + t, w, padded, sum);
      if (left == 3) add_piece<kPixels, 3>(s, inputs, row, first + t, w, padded, sum);
      w += left * padded;
    }
    store_sums<kPixels>(line, sum, ox, c);
  }

  /// Of kTaps taps, the first of which is on column `first` for the first pixel.
  template <int kPixels, int kTaps>
  static HWY_INLINE void add_piece(const IgemmShape& s, const Inputs& inputs, const float* row,
                                   int64_t first, const float* w, int64_t padded, V* sum) {
    constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
    const int64_t width = s.axis[2].in;
    if (first + kColumns <= 0 || first >= width) return;
    V weight[kTaps];
    HWY_UNROLL(32)
    for (int t = 0; t < kTaps; ++t) weight[t] = hn::LoadU(D(), w + t * padded);
    const float* at = row + first * s.src_pixel;
    const bool all = first >= 0 && first + kColumns <= width;
    HWY_UNROLL(32)
    for (int i = 0; i < kColumns; ++i, at += s.src_pixel) {
      if (!all && (first + i < 0 || first + i >= width)) continue;
      add_column<kPixels, kTaps, kStride>(i, inputs.in_order(hn::LoadU(D(), at)), weight, sum);
    }
  }
};

/// The function for at least a vector of output channels, or null.
ConvLineFn whole_vectors_function(const IgemmShape& s) {
  if (!has_plain_lines(s)) return nullptr;
  const IgemmAxis& x = s.axis[2];
  if (s.axis[0] != IgemmAxis()) {
    if (s.oc > 1 || x.taps != 3) return nullptr;
    if (x.stride == 1) return run_line_tiles<DepthwiseTile<D, 3, 1, true>>;
    if (x.stride == 2) return run_line_tiles<DepthwiseTile<D, 3, 2, true>>;
    return nullptr;
  }
  if (s.oc > 1) {
    if (s.groups < lanes()) return nullptr;
    if (x.stride == 1) return run_line_tiles<DepthwisePieces<SharedChannels, 1>>;
    if (x.stride == 2) return run_line_tiles<DepthwisePieces<SharedChannels, 2>>;
    return nullptr;
  }
  if (x.taps == 3 && x.stride == 1) return run_line_tiles<DepthwiseTile<D, 3, 1, false>>;
  if (x.taps == 3 && x.stride == 2) return run_line_tiles<DepthwiseTile<D, 3, 2, false>>;
  if (x.taps == 5 && x.stride == 1) return run_line_tiles<DepthwiseTile<D, 5, 1, false>>;
  if (x.taps == 5 && x.stride == 2) return run_line_tiles<DepthwiseTile<D, 5, 2, false>>;
  if (x.taps == 7 && x.stride == 1) return run_line_tiles<DepthwiseTile<D, 7, 1, false>>;
  if (x.stride == 1) return run_line_tiles<DepthwisePieces<OwnChannels, 1>>;
  if (x.stride == 2) return run_line_tiles<DepthwisePieces<OwnChannels, 2>>;
  return nullptr;
}

/// The same for half a vector, of which as many are computed at a time as of masked whole ones.
ConvLineFn half_vectors_function(const IgemmShape& s) {
  if constexpr (hn::MaxLanes(D()) >= 8) {
    using Half = hn::Half<D>;
    const IgemmAxis& x = s.axis[2];
    const bool fits = s.oc == 1 && s.axis[0] == IgemmAxis() && has_plain_lines(s);
    if (!fits || x.taps != 3) return nullptr;
    if (x.stride == 1) return run_line_tiles<DepthwiseTile<Half, 3, 1, false>>;
    if (x.stride == 2) return run_line_tiles<DepthwiseTile<Half, 3, 2, false>>;
  }
  return nullptr;
}

void run_channels(const ConvLine& lines) {
  const IgemmShape& s = *lines.shape;
  const int64_t channels = lines.end - lines.begin;
  if (channels >= lanes() && has_three_taps(s)) {
    return s.axis[2].stride == 1 ? run_three_tap_lines<D, 1>(lines)
                                 : run_three_tap_lines<D, 2>(lines);
  }
  const ConvLineFn function = channels >= lanes()       ? whole_vectors_function(s)
                              : 2 * channels >= lanes() ? half_vectors_function(s)
                                                        : nullptr;
  for (ConvLine line = lines; line.count > 0; line.skip(1)) {
    if (function) {
      function(line);
    } else if (s.oc == 1) {
      run_line<OwnChannels>(line);
    } else {
      run_line<SharedChannels>(line);
    }
  }
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(padded_channels);
HWY_EXPORT(run_channels);

bool depthwise_fits(const IgemmShape& shape) {
  // The quotients of channels and more would not be exact enough.
  constexpr int64_t kMostShared = 1 << 14;
  return shape.groups > 1 && shape.ic == 1 && shape.oc <= kMostShared;
}

size_t depthwise_padded_channels(const IgemmShape& shape) {
  return static_cast<size_t>(HWY_DYNAMIC_DISPATCH(padded_channels)(shape));
}

void depthwise_pack(const IgemmShape& shape, const IgemmWeights& weights,
                    const IgemmColumns& columns, float* packed) {
  const size_t padded = depthwise_padded_channels(shape);
  const int64_t first = columns.group * shape.oc + columns.first;
  for (int64_t tap = 0; tap < shape.taps(); ++tap) {
    float* const to = packed + static_cast<size_t>(tap) * padded + first;
    for (int64_t o = 0; o < columns.count; ++o) {
      to[o] = weights.data[o * weights.oc_stride + weights.tap_offset[tap]];
    }
  }
}

ConvLineFn depthwise_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(run_channels);
}

}  // namespace plica
#endif  // HWY_ONCE
