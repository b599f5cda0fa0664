#include "engine/kernels/grouped.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/grouped.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/conv_line-inl.h"
#include "engine/kernels/row_tile-inl.h"

#ifndef PLICA_GROUPED_ONCE
#define PLICA_GROUPED_ONCE
namespace plica::grouped {

inline constexpr int kTaps = 3;  // of axis 2

/// Groups of fewer output channels than a vector has lanes share vectors.
inline bool shares_vectors(const IgemmShape& shape, int64_t lanes) { return shape.oc < lanes; }

/// The vectors that output channels are computed in. Those of a span, which is a group or all that
/// share vectors, lie next to each other, but for the last one, which ends with the span.
struct Vectors {
  int64_t lanes, span, per_span;

  Vectors(const IgemmShape& shape, int64_t vector_lanes) : lanes(vector_lanes) {
    span = shares_vectors(shape, lanes) ? output_channels(shape) : shape.oc;
    per_span = ceil_div(span, lanes);
  }
  /// The vector that begins at this channel, or, at the end of a span, would begin there.
  int64_t index(int64_t channel) const {
    return channel / span * per_span + ceil_div(channel % span, lanes);
  }
  int64_t channel(int64_t index) const {
    return index / per_span * span + std::min(index % per_span * lanes, span - lanes);
  }
};

/// Columns that a line sees.
inline int64_t line_width(const IgemmShape& shape) {
  const IgemmAxis& x = shape.axis[2];
  return (x.out - 1) * x.stride + kTaps;
}

/// Lines whose input is copied at a time, so that it stays in the first level of the cache.
inline int64_t lines_copied(const IgemmShape& shape) {
  constexpr int64_t kFloats = 4 * 1024;
  const IgemmAxis& y = shape.axis[1];
  const int64_t rows = kFloats / (line_width(shape) * shape.ic);
  return std::clamp<int64_t>((rows - y.taps) / y.stride + 1, 1, y.out);
}

/// Floats of the weights of a vector.
inline int64_t weights_of_vector(const IgemmShape& shape, int64_t lanes) {
  return shape.depth() * lanes;
}

}  // namespace plica::grouped
#endif  // PLICA_GROUPED_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using grouped::kTaps;

int64_t lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

/// As many sums as hide the latency of an addition, and the weights of three taps and an input
/// beside them, fit into the registers.
constexpr int kMostPixels = HWY_TARGET <= HWY_AVX3 ? 14 : 10;

/// Of vectors that groups of some lanes share: a lane of each group, in all lanes of the group.
template <class D>
class GroupLanes {
  using V = hn::Vec<D>;
  using Signed = hn::RebindToSigned<D>;
  /// Groups then lie within blocks of 128 bits, to permute which takes AMD one operation, not two.
  static constexpr bool kWithinBlocks = hn::MaxLanes(D()) <= 8;
  /// Of each of a block's lanes, four bytes.
  static constexpr int32_t kNext = kWithinBlocks ? 0x04040404 : 1;

 public:
  /// The first lane of groups of `count`.
  explicit GroupLanes(int64_t count) {
    const Signed d;
    order_ = hn::And(hn::Iota(d, 0), hn::Set(d, static_cast<int32_t>(-count)));
    if constexpr (kWithinBlocks) {
      const auto of_block = hn::And(order_, hn::Set(d, 3));
      order_ = hn::Add(hn::Mul(of_block, hn::Set(d, kNext)), hn::Set(d, 0x03020100));
    }
  }
  HWY_INLINE void advance() { order_ = hn::Add(order_, hn::Set(Signed(), kNext)); }

  HWY_INLINE V of(V loaded) const {
    if constexpr (kWithinBlocks) {
      return hn::BitCast(D(), hn::TableLookupBytes(loaded, order_));
    } else {
      return hn::TableLookupLanes(loaded, hn::IndicesFromVec(D(), order_));
    }
  }

 private:
  hn::Vec<Signed> order_;
};

/// Groups share vectors: inputs are permuted so that a channel of each group meets all lanes of the
/// group.
template <int kStride>
struct PermutedTile {
  static constexpr int kMostPixels = HWY_NAMESPACE::kMostPixels;

  template <int kPixels, bool kInside>
  static HWY_NOINLINE void run(const ConvLine& line, const Rows& rows, int64_t ox) {
    const IgemmShape& s = *line.shape;
    const grouped::Vectors vectors(s, lanes());
    const int64_t end = vectors.index(line.end);
    for (int64_t i = vectors.index(line.begin); i < end; ++i) {
      const float* weights = line.packed + i * grouped::weights_of_vector(s, lanes());
      run_vector<kPixels, kInside>(line, rows, ox, vectors.channel(i), weights);
    }
  }

  /// A vector of channels from `c` on.
  template <int kPixels, bool kInside>
  static HWY_INLINE void run_vector(const ConvLine& line, const Rows& rows, int64_t ox, int64_t c,
                                    const float* HWY_RESTRICT weights) {
    const D d;
    const IgemmShape& s = *line.shape;
    constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
    const Columns<kColumns, kTaps, kInside> columns(s.axis[2], ox);
    V sum[kPixels];
    begin_sums<kPixels>(line, c, sum);
    const float* from = rows.src + columns.first * s.src_pixel + c;
    const float* w = weights + rows.taps.first * s.ic * kTaps * lanes();
    for (int64_t y = rows.taps.first; y < rows.taps.last; ++y, from += rows.row) {
      GroupLanes<D> group_lanes(s.ic);
      for (int64_t input = 0; input < s.ic; ++input, group_lanes.advance()) {
        V weight[kTaps];
        HWY_UNROLL(32)
        for (int t = 0; t < kTaps; ++t, w += lanes()) weight[t] = hn::LoadU(d, w);
        const float* at = from;
        // Or the compiler loads all inputs before the loop, which takes too many registers.
        asm("" : "+r"(at));
        // Each input is loaded once for all pixels.
        HWY_UNROLL(32)
        for (int i = 0; i < kColumns; ++i, at += s.src_pixel) {
          if (columns.outside(i)) continue;
          const V value = group_lanes.of(hn::LoadU(d, at));
          add_column<kPixels, kTaps, kStride>(i, value, weight, sum);
        }
      }
    }
    store_sums<kPixels>(line, sum, ox, c);
  }
};

/// Groups have at least a vector of output channels: inputs are broadcast.
struct BroadcastTile {
  const ConvLine* lines;  // one, or two of which one is below the other
  int64_t rows, row;      // of the input that a line sees, and floats from one to the next
  int64_t below;          // from what a line sees to what the one below it does
  const float* from;      // the first column of the first, [ic]; the next one follows
  const float* w;         // of the first row
  int64_t w_step;         // to the next vector
  int64_t ox, c, next;    // pixel and channel of the output, channel of the next vector
  const float* soon;      // weights that will be needed
};

/// kVecs vectors of channels of kLines lines, at most two in all.
template <int kPixels, int kStride, int kVecs, int kLines>
HWY_NOINLINE void run_broadcast_tile(BroadcastTile& tile) {
  const D d;
  const int64_t ic = tile.lines->shape->ic, ic3 = 3 * ic;
  constexpr int kColumns = (kPixels - 1) * kStride + kTaps;
  V sum[kVecs][kLines][kPixels];
  HWY_UNROLL(32)
  for (int v = 0; v < kVecs; ++v) {
    HWY_UNROLL(32)
    for (int l = 0; l < kLines; ++l) {
      begin_sums<kPixels>(*tile.lines, v == 0 ? tile.c : tile.next, sum[v][l]);
    }
  }
  const float *w = tile.w, *soon = tile.soon;
  for (int64_t y = 0; y < tile.rows; ++y) {
    // Columns 4 * i + (0, 1, 2, 3) are at base[i] + (0, 1, 2, 3) * ic: no pointer for each.
    constexpr int kBases = (kColumns + 3) / 4;
    const float* base[kLines][kBases];
    HWY_UNROLL(32)
    for (int l = 0; l < kLines; ++l) {
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) {
        base[l][i] = tile.from + l * tile.below + y * tile.row + 4 * i * ic;
      }
    }
    for (int64_t input = 0; input < ic; ++input) {
      __builtin_prefetch(soon, 0, 2);
      soon += 16;
      HWY_UNROLL(32)
      for (int l = 0; l < kLines; ++l) {
        HWY_UNROLL(32)
        for (int i = 0; i < kBases; ++i) asm("" : "+r"(base[l][i]));
      }
      V weight[kVecs][kTaps];
      HWY_UNROLL(32)
      for (int t = 0; t < kTaps; ++t, w += lanes()) {
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) weight[v][t] = hn::LoadU(d, w + v * tile.w_step);
      }
      HWY_UNROLL(32)
      for (int i = 0; i < kColumns; ++i) {
        HWY_UNROLL(32)
        for (int l = 0; l < kLines; ++l) {
          const V value = hn::Set(d, base[l][i / 4][i % 4 == 3 ? ic3 : i % 4 * ic]);
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) {
            add_column<kPixels, kTaps, kStride>(i, value, weight[v], sum[v][l]);
          }
        }
      }
      HWY_UNROLL(32)
      for (int l = 0; l < kLines; ++l) {
        HWY_UNROLL(32)
        for (int i = 0; i < kBases; ++i) ++base[l][i];
      }
    }
  }
  tile.soon = soon;
  HWY_UNROLL(32)
  for (int v = 0; v < kVecs; ++v) {
    HWY_UNROLL(32)
    for (int l = 0; l < kLines; ++l) {
      store_sums<kPixels>(tile.lines[l], sum[v][l], tile.ox, v == 0 ? tile.c : tile.next);
    }
  }
}

using BroadcastFn = void (*)(BroadcastTile&);
template <int kStride, int kVecs, int kLines, int... kPixels>
constexpr std::array<BroadcastFn, sizeof...(kPixels)> broadcast_functions(
    std::integer_sequence<int, kPixels...>) {
  return {run_broadcast_tile<kPixels + 1, kStride, kVecs, kLines>...};
}
/// Of so few pixels, the sums of two vectors fit into the registers; of one, they are too few to
/// hide the latency of an addition.
constexpr int kPairPixels = HWY_TARGET <= HWY_AVX3 ? 7 : 1;
/// Likewise for two lines, where a group is one vector.
constexpr int kLinePixels = kMostPixels / 2;
/// Weights of two vectors that stay near enough for more pixels to be no better than two vectors,
/// which share inputs.
constexpr int64_t kNearWeights = 40 * 1024;

/// Lines [0, line.count) of one group, whose input rows, from that of the first line's first tap
/// inside on, are at `rows`.
template <int kStride>
void run_group(const ConvLine& line, const float* rows, int64_t group) {
  static constexpr auto kTiles =
      broadcast_functions<kStride, 1, 1>(std::make_integer_sequence<int, kMostPixels>());
  static constexpr auto kPairs =
      broadcast_functions<kStride, 2, 1>(std::make_integer_sequence<int, kPairPixels>());
  static constexpr auto kLines =
      broadcast_functions<kStride, 1, 2>(std::make_integer_sequence<int, kLinePixels>());
  const IgemmShape& s = *line.shape;
  const IgemmAxis& y = s.axis[1];
  const grouped::Vectors vectors(s, lanes());
  const int64_t weights = grouped::weights_of_vector(s, lanes());
  const bool pairs = kPairPixels > 1 && vectors.per_span == 2 && 2 * weights * 4 <= kNearWeights;
  const Parts tiles(s.axis[2].out, pairs ? kPairPixels : kMostPixels);
  const int64_t first_row = taps_inside(y, line.y0).first;
  ConvLine two[2] = {line, line};
  BroadcastTile tile{};
  tile.lines = two;
  tile.row = grouped::line_width(s) * s.ic;
  tile.below = y.stride * tile.row;
  tile.w_step = weights;
  tile.soon = line.packed + (group + 1) * vectors.per_span * weights;
  for (int64_t l = 0, count; l < line.count; l += count) {
    const TapRange taps = taps_inside(y, line.y0 + l * y.stride);
    const bool below = l + 1 < line.count && vectors.per_span == 1 &&
                       tiles.size(0) <= kLinePixels &&
                       taps == taps_inside(y, line.y0 + (l + 1) * y.stride);
    count = below ? 2 : 1;
    tile.rows = taps.last - taps.first;
    const float* from = rows + (l * y.stride + taps.first - first_row) * tile.row;
    two[1] = two[0];
    two[1].skip(1);
    tile.ox = 0;
    for (int64_t i = 0; i < tiles.count; tile.ox += tiles.size(i++)) {
      tile.from = from + tile.ox * kStride * s.ic;
      const int64_t pixels = tiles.size(i), end = (group + 1) * vectors.per_span;
      for (int64_t v = group * vectors.per_span, step; v < end; v += step) {
        tile.w = line.packed + v * weights + taps.first * s.ic * kTaps * lanes();
        tile.c = vectors.channel(v);
        tile.next = vectors.channel(v + 1);
        step = pixels <= kPairPixels && v + 2 <= end ? 2 : 1;
        const BroadcastFn* functions = below       ? kLines.data()
                                       : step == 2 ? kPairs.data()
                                                   : kTiles.data();
        functions[pixels - 1](tile);
      }
    }
    two[0].skip(count);
  }
}

/// Pixels that lie far apart, by a power of two most of all, would fall into few sets of the first
/// level of the cache: a copy of the group's input lies there without gaps.
template <int kStride>
void run_broadcast(const ConvLine& all) {
  const IgemmShape& s = *all.shape;
  const IgemmAxis& y = s.axis[1];
  const int64_t row = grouped::line_width(s) * s.ic;
  ConvLine lines = all;
  while (lines.count > 0) {
    ConvLine block = lines;
    block.count = std::min(lines.count, grouped::lines_copied(s));
    const Rows rows(block);
    const int64_t last = block.y0 + (block.count - 1) * y.stride;
    const int64_t end = (block.count - 1) * y.stride + taps_inside(y, last).last;
    for (int64_t group = block.begin / s.oc; group < block.end / s.oc; ++group) {
      for (int64_t r = 0; r < end - rows.taps.first; ++r) {
        copy_columns(s.axis[2], grouped::line_width(s), s.ic,
                     rows.src + r * rows.row + group * s.ic, s.src_pixel, block.scratch + r * row);
      }
      run_group<kStride>(block, block.scratch, group);
    }
    lines.skip(block.count);
  }
}

ConvLineFn function(const IgemmShape& s) {
  const bool by_one = s.axis[2].stride == 1;
  // SSE2 cannot permute lanes.
  if constexpr (HWY_TARGET <= HWY_SSE4) {
    if (grouped::shares_vectors(s, lanes())) {
      return by_one ? run_line_tiles<PermutedTile<1>> : run_line_tiles<PermutedTile<2>>;
    }
  }
  return by_one ? run_broadcast<1> : run_broadcast<2>;
}

bool fits(const IgemmShape& s) {
  // So many channels' weights are read for each line.
  constexpr int64_t kChannels = 64;
  constexpr int64_t kMostBytes = 256 * 1024;
  const IgemmAxis& x = s.axis[2];
  if (s.groups == 1 || s.ic == 0 || !has_plain_lines(s) || s.axis[0] != IgemmAxis() ||
      s.axis[1].dst_step != 1)
    return false;
  if (s.axis[1].step != 1 || x.step != 1) return false;
  if (x.taps != kTaps || (x.stride != 1 && x.stride != 2)) return false;
  if (!grouped::shares_vectors(s, lanes())) return s.depth() * kChannels * 4 <= kMostBytes;
  return HWY_TARGET <= HWY_SSE4 && s.ic == s.oc && lanes() % s.ic == 0 &&
         output_channels(s) >= lanes();
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(lanes);
HWY_EXPORT(fits);
HWY_EXPORT(function);

bool grouped_fits(const IgemmShape& shape) { return HWY_DYNAMIC_DISPATCH(fits)(shape); }

bool grouped_many_lines(const IgemmShape& shape) {
  return !grouped::shares_vectors(shape, HWY_DYNAMIC_DISPATCH(lanes)());
}

int64_t grouped_step(const IgemmShape& shape) {
  const int64_t n = HWY_DYNAMIC_DISPATCH(lanes)();
  return grouped::shares_vectors(shape, n) ? n : shape.oc;
}

size_t grouped_scratch_bytes(const IgemmShape& shape) {
  const int64_t n = HWY_DYNAMIC_DISPATCH(lanes)();
  if (grouped::shares_vectors(shape, n)) return 0;
  const IgemmAxis& y = shape.axis[1];
  const int64_t rows = (grouped::lines_copied(shape) - 1) * y.stride + y.taps;
  return static_cast<size_t>(rows * grouped::line_width(shape) * shape.ic) * sizeof(float);
}

size_t grouped_packed_size(const IgemmShape& shape) {
  const int64_t n = HWY_DYNAMIC_DISPATCH(lanes)();
  const grouped::Vectors vectors(shape, n);
  return static_cast<size_t>(output_channels(shape) / vectors.span * vectors.per_span *
                             grouped::weights_of_vector(shape, n));
}

void grouped_pack(const IgemmShape& shape, const IgemmWeights& weights, const IgemmColumns& columns,
                  float* packed) {
  const int64_t n = HWY_DYNAMIC_DISPATCH(lanes)();
  const grouped::Vectors vectors(shape, n);
  const int64_t begin = columns.group * shape.oc + columns.first, end = begin + columns.count;
  const int64_t span = begin / vectors.span;
  for (int64_t i = span * vectors.per_span; i < (span + 1) * vectors.per_span; ++i) {
    const int64_t c = vectors.channel(i);
    for (int64_t o = std::max(begin, c); o < std::min(end, c + n); ++o) {
      float* to = packed + i * grouped::weights_of_vector(shape, n) + o - c;
      for (int64_t tap = 0; tap < shape.taps(); tap += grouped::kTaps) {
        for (int64_t input = 0; input < shape.ic; ++input) {
          for (int64_t t = 0; t < grouped::kTaps; ++t, to += n) {
            *to = weights.data[(o - begin) * weights.oc_stride + input * weights.ic_stride +
                               weights.tap_offset[tap + t]];
          }
        }
      }
    }
  }
}

ConvLineFn grouped_function(const IgemmShape& shape) {
  choose_target();
  return HWY_DYNAMIC_DISPATCH(function)(shape);
}

}  // namespace plica
#endif  // HWY_ONCE
