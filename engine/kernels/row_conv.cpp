#include "engine/kernels/row_conv.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_conv.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef PLICA_ROW_CONV_ONCE
#define PLICA_ROW_CONV_ONCE
namespace plica::row_conv {

inline constexpr int64_t kMaxDepth = 256;
inline constexpr int64_t kMaxChannels = 16;
/// Output rows of a band: few enough for its input to stay in the cache, enough for the rows that
/// neighbouring bands share not to count.
inline constexpr int64_t kBandRows = 8;

/// How the copied rows lie in scratch memory: `lines` times [rows][padded width * pixel].
struct Scratch {
  int64_t lines;  // 1, or one for each channel
  int64_t pixel;  // floats from one column to the next
  int64_t width;  // columns
  int64_t row;    // floats from one row to the next
  int64_t rows;   // of a whole band
  int64_t run;    // floats that one row of the kernel spans
  int64_t line() const { return rows * row; }

  Scratch(const IgemmShape& s, bool planar) {
    const IgemmAxis &y = s.axis[1], &x = s.axis[2];
    lines = planar ? s.ic : 1;
    pixel = planar ? 1 : s.ic;
    width = (x.out - 1) * x.stride + x.taps;
    row = width * pixel;
    rows = (std::min(kBandRows, y.out) - 1) * y.stride + (y.taps - 1) * y.step + 1;
    run = x.taps * pixel;
  }
};

/// A register tile's place.
struct Tile {
  const float* a;  // of the first pixel, for the first tap
  int64_t stride;  // from one pixel to the next
  const float* w;  // [depth][vectors * lanes]
  int64_t lines, line_step, runs, run_step, run;
  float* dst;
  int64_t dst_pixel;
  const float* bias;
  float lo, hi;
  int64_t columns;       // valid ones
  const int32_t* order;  // of the lanes, where pixels share a vector
};

/// Pixels of which a vector holds all channels: 1, 2 or 4.
inline int64_t shared_pixels(const IgemmShape& s, const RowConvSource& source, int64_t lanes) {
  const IgemmAxis& x = s.axis[2];
  const bool columns_adjacent = s.ic == 1 || source.column == 1;
  if (!columns_adjacent || x.stride != 1 || s.dst_pixel != s.oc) return 1;
  for (const int64_t share : {4, 2}) {
    if (s.oc * share <= lanes && x.out >= share) return share;
  }
  return 1;
}

}  // namespace plica::row_conv
#endif  // PLICA_ROW_CONV_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using row_conv::Scratch;
using row_conv::Tile;

#if HWY_TARGET <= HWY_AVX3
constexpr int kTileRows = 14;
#else
constexpr int kTileRows = 6;
#endif

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

template <int kRows, int kVecs>
HWY_NOINLINE void run_tile(const Tile& t) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kVecs];
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(32)
    for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(d);
  }
  const float* HWY_RESTRICT w = t.w;
  // Rows 4 * i + (0, 1, 2, 3) are at base[i] + (0, 1, 2, 3) strides: more pointers than that do not
  // fit into the registers.
  constexpr int kBases = (kRows + 3) / 4;
  const int64_t stride = t.stride, stride3 = 3 * t.stride;
  for (int64_t line = 0; line < t.lines; ++line) {
    for (int64_t run = 0; run < t.runs; ++run) {
      const float* base[4];
      HWY_UNROLL(32)
      for (int i = 0; i < kBases; ++i) {
        base[i] = t.a + line * t.line_step + run * t.run_step + 4 * i * stride;
      }
      for (int64_t k = t.run; k > 0; --k) {
        // Keeps the compiler from making one pointer for each row.
        HWY_UNROLL(32)
        for (int i = 0; i < kBases; ++i) asm("" : "+r"(base[i]));
        V weight[kVecs];
        HWY_UNROLL(32)
        for (int v = 0; v < kVecs; ++v) weight[v] = hn::Load(d, w + v * lanes);
        w += kVecs * lanes;
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) {
          const V x = hn::Set(d, base[r / 4][r % 4 == 3 ? stride3 : r % 4 * stride]);
          HWY_UNROLL(32)
          for (int v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(x, weight[v], sum[r][v]);
        }
        HWY_UNROLL(32)
        for (int i = 0; i < kBases; ++i) ++base[i];
      }
    }
  }
  const V lo = hn::Set(d, t.lo), hi = hn::Set(d, t.hi);
  HWY_UNROLL(32)
  for (int v = 0; v < kVecs; ++v) {
    const V bias = hn::Load(d, t.bias + v * lanes);
    const int64_t left = t.columns - v * lanes;
    HWY_UNROLL(32)
    for (int r = 0; r < kRows; ++r) {
      // x86's minimum and maximum are their second operand if one is NaN.
      const V y = hn::Min(hi, hn::Max(lo, hn::Add(sum[r][v], bias)));
      float* dst = t.dst + r * t.dst_pixel + v * lanes;
      if (left >= lanes) {
        hn::StoreU(y, d, dst);
      } else {
        hn::StoreN(y, d, dst, static_cast<size_t>(left));
      }
    }
  }
}

/// kShare neighbouring floats, again and again.
template <int kShare>
HWY_INLINE V load_repeated(const float* p) {
  const D d;
  if constexpr (kShare == 2) {
    const hn::Repartition<double, D> pairs;
    double pair;
    std::memcpy(&pair, p, sizeof pair);
    return hn::BitCast(d, hn::Set(pairs, pair));
  } else {
    return hn::LoadDup128(d, p);
  }
}

/// kRows times kShare neighbouring pixels, whose few channels share a vector: lane l is pixel
/// l % kShare, channel l / kShare.
template <int kRows, int kShare>
HWY_NOINLINE void run_shared_tile(const Tile& t) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows];
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(d);
  const float* HWY_RESTRICT w = t.w;
  for (int64_t line = 0; line < t.lines; ++line) {
    for (int64_t run = 0; run < t.runs; ++run) {
      const float* a = t.a + line * t.line_step + run * t.run_step;
      for (int64_t k = 0; k < t.run; ++k, ++a, w += lanes) {
        // Keeps the compiler from carrying what it has loaded over to the next k.
        asm("" : "+r"(a));
        const V weight = hn::Load(d, w);
        HWY_UNROLL(32)
        for (int r = 0; r < kRows; ++r) {
          sum[r] = hn::MulAdd(load_repeated<kShare>(a + r * kShare), weight, sum[r]);
        }
      }
    }
  }
  const V lo = hn::Set(d, t.lo), hi = hn::Set(d, t.hi);
  const V bias = hn::Load(d, t.bias);
  const auto order = hn::SetTableIndices(d, t.order);
  const auto count = static_cast<size_t>(kShare * t.columns);
  HWY_UNROLL(32)
  for (int r = 0; r < kRows; ++r) {
    // x86's minimum and maximum are their second operand if one is NaN.
    const V y = hn::Min(hi, hn::Max(lo, hn::Add(sum[r], bias)));
    hn::StoreN(hn::TableLookupLanes(y, order), d, t.dst + r * kShare * t.dst_pixel, count);
  }
}

using TileFn = void (*)(const Tile&);
template <int kShare, int... kRows>
constexpr std::array<TileFn, sizeof...(kRows)> shared_tile_functions(
    std::integer_sequence<int, kRows...>) {
  return {run_shared_tile<kRows + 1, kShare>...};
}
template <int kVecs, int... kRows>
constexpr std::array<TileFn, sizeof...(kRows)> tile_functions(
    std::integer_sequence<int, kRows...>) {
  return {run_tile<kRows + 1, kVecs>...};
}
using RowCounts = std::make_integer_sequence<int, kTileRows>;
/// [vectors - 1][rows - 1]
constexpr std::array<TileFn, kTileRows> kTiles[2] = {tile_functions<1>(RowCounts()),
                                                     tile_functions<2>(RowCounts())};
/// [two or four pixels][rows - 1]
constexpr std::array<TileFn, kTileRows> kSharedTiles[2] = {shared_tile_functions<2>(RowCounts()),
                                                           shared_tile_functions<4>(RowCounts())};

HWY_INLINE void copy_floats(const float* HWY_RESTRICT src, float* HWY_RESTRICT dst, int64_t count) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::LoadU(d, src + i), d, dst + i);
  if (i < count) {
    const auto left = static_cast<size_t>(count - i);
    hn::StoreN(hn::LoadN(d, src + i, left), d, dst + i, left);
  }
}

/// Input row `row` of image `src`, which may be outside, to every line's row of `dst`.
void copy_row(const RowConv& c, const Scratch& scratch, bool planar, const float* src, int64_t row,
              float* dst) {
  const IgemmAxis &y = c.shape.axis[1], &x = c.shape.axis[2];
  // Columns of scratch [begin, end) are inside.
  const int64_t begin = std::clamp<int64_t>(-x.origin, 0, scratch.width);
  const int64_t end = std::clamp<int64_t>(x.in - x.origin, begin, scratch.width);
  const bool inside = row >= 0 && row < y.in;
  for (int64_t line = 0; line < scratch.lines; ++line, dst += scratch.line()) {
    if (!inside) {
      std::fill_n(dst, scratch.row, 0.0f);
      continue;
    }
    std::fill_n(dst, begin * scratch.pixel, 0.0f);
    const float* from =
        src + line * c.source.channel + row * c.source.row + (begin + x.origin) * c.source.column;
    if (planar || c.source.column == scratch.pixel) {
      copy_floats(from, dst + begin * scratch.pixel, (end - begin) * scratch.pixel);
    } else {
      for (int64_t i = begin; i < end; ++i, from += c.source.column) {
        copy_floats(from, dst + i * scratch.pixel, scratch.pixel);
      }
    }
    std::fill_n(dst + end * scratch.pixel, (scratch.width - end) * scratch.pixel, 0.0f);
  }
}

/// Whether no output reads padding and neighbouring columns lie next to each other: tiles may then
/// read the source itself.
bool is_direct(const RowConv& c, const Scratch& scratch) {
  const IgemmAxis &y = c.shape.axis[1], &x = c.shape.axis[2];
  const auto inside = [](const IgemmAxis& axis) {
    return axis.origin >= 0 &&
           axis.origin + (axis.out - 1) * axis.stride + (axis.taps - 1) * axis.step < axis.in;
  };
  return inside(y) && inside(x) && (x.in == 1 || c.source.column == scratch.pixel);
}

/// Output rows [first, first + rows) of image `n`.
void run_band(const RowConv& c, int64_t n, int64_t first, int64_t rows, const float* src,
              float* dst, float* memory) {
  const IgemmShape& s = c.shape;
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  const bool planar = c.source.column == 1 && s.ic > 1;
  const Scratch scratch(s, planar);
  src += n * c.source.image;
  const float* from = memory;
  int64_t row_step = scratch.row, line_step = scratch.line();
  if (is_direct(c, scratch)) {
    from = src + (first * y.stride + y.origin) * c.source.row + x.origin * c.source.column;
    row_step = c.source.row;
    line_step = c.source.channel;
  } else {
    const int64_t input_rows = (rows - 1) * y.stride + (y.taps - 1) * y.step + 1;
    for (int64_t r = 0; r < input_rows; ++r) {
      copy_row(c, scratch, planar, src, first * y.stride + y.origin + r, memory + r * scratch.row);
    }
  }
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  Tile tile;
  tile.stride = x.stride * scratch.pixel;
  tile.lines = scratch.lines;
  tile.line_step = line_step;
  tile.runs = y.taps;
  tile.run_step = y.step * row_step;
  tile.run = scratch.run;
  tile.dst_pixel = s.dst_pixel;
  tile.lo = c.epilogue.lo;
  tile.hi = c.epilogue.hi;
  const int64_t first_pixel = (n * y.out + first) * x.out;
  const int64_t share = row_conv::shared_pixels(s, c.source, lanes);
  // Of pixels that share a vector; out of the loop, since small images are all divisions otherwise.
  const Parts groups(x.out / share, kTileRows);
  const bool left_over = x.out % share != 0;
  const auto run_row = [&](int64_t r, const auto& functions, int64_t column) {
    const auto run_tile_at = [&](int64_t pixel, int64_t count) {
      tile.a = from + r * y.stride * row_step + pixel * x.stride * scratch.pixel;
      tile.dst = dst + (first_pixel + r * x.out + pixel) * s.dst_pixel + column;
      functions[static_cast<size_t>(count - 1)](tile);
    };
    for (int64_t i = 0, pixel = 0; i < groups.count; pixel += groups.size(i++) * share) {
      run_tile_at(pixel, groups.size(i));
    }
    if (left_over) run_tile_at(x.out - share, 1);
  };
  if (share > 1) {
    // Lane channel * share + pixel goes to pixel * channels + channel.
    HWY_ALIGN float bias[hn::MaxLanes(D())] = {};
    HWY_ALIGN int32_t order[hn::MaxLanes(D())] = {};
    for (int64_t channel = 0; channel < s.oc; ++channel) {
      for (int64_t pixel = 0; pixel < share; ++pixel) {
        bias[channel * share + pixel] = c.epilogue.bias[channel];
        order[pixel * s.oc + channel] = static_cast<int32_t>(channel * share + pixel);
      }
    }
    tile.w = c.packed;
    tile.bias = bias;
    tile.order = order;
    tile.columns = s.oc;
    for (int64_t r = 0; r < rows; ++r) run_row(r, kSharedTiles[share / 4], 0);
  }
  for (int64_t column = 0; share == 1 && column < s.oc; column += 2 * lanes) {
    const int vectors = s.oc - column > lanes ? 2 : 1;
    tile.w = c.packed + column * s.depth();
    tile.bias = c.epilogue.bias + column;
    tile.columns = std::min(s.oc - column, 2 * lanes);
    for (int64_t r = 0; r < rows; ++r) run_row(r, kTiles[vectors - 1], column);
  }
  if (!c.epilogue.has_tail()) return;
  apply_tail_rows(c.epilogue, first_pixel, rows * x.out, s.dst_pixel, 0,
                  dst + first_pixel * s.dst_pixel, s.oc);
}

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {
namespace {

HWY_EXPORT(run_band);
HWY_EXPORT(vector_lanes);

using BandFn = void (*)(const RowConv&, int64_t, int64_t, int64_t, const float*, float*, float*);

BandFn band_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(run_band);
}

int64_t padded_columns(const IgemmShape& shape) {
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(vector_lanes)();
  return round_up(shape.oc, lanes);
}

class RowConvKernel final : public Kernel {
 public:
  RowConvKernel(RowConv conv, std::shared_ptr<const void> owner)
      : conv_(std::move(conv)),
        owner_(std::move(owner)),
        bytes_per_thread_(row_conv_bytes_per_thread(conv_.shape)) {
    const IgemmAxis& y = conv_.shape.axis[1];
    if (!is_image(conv_.shape)) return;
    if (conv_.shape.n > 1 && conv_.source.image != y.in * conv_.source.row) return;
    rows_ = row_layout_of(conv_.shape, 0);
    rows_.in_row = conv_.source.row;
    rows_.scratch_bytes = bytes_per_thread_;
    rows_.weight_bytes = row_conv_packed_size(conv_.shape) * sizeof(float);
  }

  void run(const KernelArgs& args, Team& team) const noexcept override {
    const int64_t height = conv_.shape.axis[1].out;
    const int64_t bands = ceil_div(height, row_conv::kBandRows);
    team.for_each(conv_.shape.n * bands, [&](int64_t task, int worker) {
      const int64_t band = task % bands;
      const int64_t begin = band * height / bands, end = (band + 1) * height / bands;
      auto* memory = reinterpret_cast<float*>(args.workspace +
                                              static_cast<size_t>(worker) * bytes_per_thread_);
      run_(conv_, task / bands, begin, end - begin, args.in[0], args.out[0], memory);
    });
  }

  const RowLayout* row_layout() const override { return rows_.images > 0 ? &rows_ : nullptr; }
  RowRange rows_needed(RowRange out) const noexcept override {
    return input_rows(conv_.shape.axis[1], out);
  }
  void run_rows(const KernelArgs& args, int64_t image, RowRange out) const noexcept override {
    auto* memory = reinterpret_cast<float*>(args.workspace);
    for (int64_t begin = out.begin; begin < out.end; begin += row_conv::kBandRows) {
      const int64_t rows = std::min(row_conv::kBandRows, out.end - begin);
      run_(conv_, image, begin, rows, args.in[0], args.out[0], memory);
    }
  }

 private:
  RowConv conv_;
  std::shared_ptr<const void> owner_;
  size_t bytes_per_thread_;
  RowLayout rows_;
  BandFn run_ = band_function();
};

}  // namespace

bool row_conv_fits(const IgemmShape& shape, const RowConvSource& source) {
  const auto& [z, y, x] = shape.axis;
  if (shape.groups != 1 || z != IgemmAxis() || x.step != 1) return false;
  if (y.dst_step != 1 || x.dst_step != 1 || y.dst_origin != 0 || x.dst_origin != 0) return false;
  if (shape.taps() == 1 || shape.ic > row_conv::kMaxChannels) return false;
  return shape.depth() <= row_conv::kMaxDepth && (source.column == 1 || source.channel == 1);
}

int64_t row_conv_shared_pixels(const IgemmShape& shape, const RowConvSource& source) {
  return row_conv::shared_pixels(shape, source, HWY_DYNAMIC_DISPATCH(vector_lanes)());
}

size_t row_conv_packed_size(const IgemmShape& shape) {
  return static_cast<size_t>(shape.depth() * padded_columns(shape));
}

size_t row_conv_bias_size(const IgemmShape& shape) {
  return static_cast<size_t>(padded_columns(shape));
}

void row_conv_pack(const IgemmShape& shape, const RowConvSource& source,
                   const IgemmWeights& weights, float* packed) {
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(vector_lanes)();
  const bool planar = source.column == 1;
  const int64_t taps = shape.taps();
  const int64_t share = row_conv::shared_pixels(shape, source, lanes);
  for (int64_t column = 0; column < shape.oc; column += 2 * lanes) {
    const int64_t width = std::min(2 * lanes, padded_columns(shape) - column);
    for (int64_t k = 0; k < shape.depth(); ++k, packed += width) {
      const int64_t tap = planar ? k % taps : k / shape.ic;
      const int64_t channel = planar ? k / taps : k % shape.ic;
      const float* from = weights.data + weights.tap_offset[tap] + channel * weights.ic_stride;
      for (int64_t i = 0; i < std::min(width, share * shape.oc - column); ++i) {
        packed[i] = from[(column + i / share) * weights.oc_stride];
      }
    }
  }
}

size_t row_conv_bytes_per_thread(const IgemmShape& shape) {
  const row_conv::Scratch scratch(shape, false);
  const auto floats = static_cast<size_t>(scratch.line());
  return (floats * sizeof(float) + 63) / 64 * 64;
}

std::unique_ptr<Kernel> make_row_conv(RowConv conv, std::shared_ptr<const void> owner) {
  return std::make_unique<RowConvKernel>(std::move(conv), std::move(owner));
}

}  // namespace plica
#endif  // HWY_ONCE
