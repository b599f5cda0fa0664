#include "engine/kernels/row_pixels.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/ceil_div.h"
#include "engine/kernels/dispatch.h"
#include "engine/kernels/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_pixels.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// Once for each target.
#include "engine/kernels/row_planes-inl.h"
#include "engine/kernels/row_tile-inl.h"

#ifndef PLICA_ROW_PIXELS_ONCE
#define PLICA_ROW_PIXELS_ONCE
namespace plica::row_pixels {

/// Channels whose sums are in registers at a time, at most.
inline constexpr int64_t kGroup = 8;
/// Vectors of pixels that they take together, at most.
inline constexpr int64_t kMostVectors = 6;
/// Floats behind what is read and written, for whole vectors.
inline constexpr int64_t kSlack = 128;

/// How rows of input lie in scratch memory: [channel][phase of rows][phase of
/// columns][rows][pitch], where a phase is what lies a stride apart. An output's inputs are the
/// same distances from its place in a phase's plane, whichever row it is in.
struct Area {
  int64_t pitch;          // from one row of a phase to the next
  int64_t phase;          // floats of a phase's plane
  int64_t channel;        // of all of them
  int64_t floats;         // of all channels
  int64_t places;         // from the band's first output to its last, in a plane
  int64_t channel_place;  // from one channel's outputs to the next one's

  Area(const IgemmShape& s, int64_t rows) {
    const IgemmAxis &y = s.axis[1], &x = s.axis[2];
    pitch = x.out + (x.taps - 1) * x.step / x.stride;
    phase = (rows + (y.taps - 1) * y.step / y.stride) * pitch;
    channel = y.stride * x.stride * phase;
    floats = round_up(s.ic * channel, 16);
    places = (rows - 1) * pitch + x.out;
    channel_place = round_up(rows * pitch, 16);
  }
};

/// Where products find their inputs, and the planes that sums go to.
struct Sums {
  const float* inputs;
  const int64_t* offsets;  // [depth]
  int64_t depth;
  const float* weights;  // [depth][channels]
  const float* bias;
  float lo, hi;
  float* planes;
  int64_t plane;  // from one channel's to the next one's
};

/// Pooled planes.
struct PooledArea {
  int64_t rows, columns;
  int64_t channel_place;

  PooledArea(const IgemmShape& s, int64_t band_rows)
      : rows(band_rows / 2),
        columns(s.axis[2].out / 2),
        // The last vector may begin with the last pixel.
        channel_place(round_up(rows * columns, 16) + 16) {}
};

inline Parts groups_of(const IgemmShape& shape) { return {shape.oc, kGroup}; }

}  // namespace plica::row_pixels
#endif  // PLICA_ROW_PIXELS_ONCE

HWY_BEFORE_NAMESPACE();
namespace plica::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using row_pixels::Area;
using row_pixels::Sums;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

int64_t vector_lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

/// Vectors of pixels for so many channels: all registers but those for inputs and a weight.
constexpr int64_t most_vectors(int64_t channels) {
  const int64_t sums = HWY_TARGET <= HWY_AVX3 ? 24 : 12;
  return std::clamp<int64_t>(sums / channels, 1, HWY_TARGET <= HWY_AVX3 ? 6 : 3);
}

/// Sums of kChannels for kVectors of pixels, from place `at` on.
template <int kChannels, int kVectors>
HWY_NOINLINE void sum_pixels(const Sums& s, int64_t at) {
  const D d;
  const int64_t lanes = vector_lanes();
  V sum[kChannels][kVectors];
  HWY_UNROLL(8)
  for (int c = 0; c < kChannels; ++c) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) sum[c][v] = hn::Zero(d);
  }
  const float* HWY_RESTRICT w = s.weights;
  const float* inputs = s.inputs + at;
  for (int64_t k = 0; k < s.depth; ++k, w += kChannels) {
    const float* from = inputs + s.offsets[k];
    V x[kVectors];
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, from + v * lanes);
    HWY_UNROLL(8)
    for (int c = 0; c < kChannels; ++c) {
      const V weight = hn::Set(d, w[c]);
      HWY_UNROLL(8)
      for (int v = 0; v < kVectors; ++v) sum[c][v] = hn::MulAdd(x[v], weight, sum[c][v]);
    }
  }
  const V lo = hn::Set(d, s.lo), hi = hn::Set(d, s.hi);
  HWY_UNROLL(8)
  for (int c = 0; c < kChannels; ++c) {
    const V bias = hn::Set(d, s.bias[c]);
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) {
      // x86's minimum and maximum are their second operand if one is NaN.
      const V y = hn::Min(hi, hn::Max(lo, hn::Add(sum[c][v], bias)));
      hn::StoreU(y, d, s.planes + c * s.plane + at + v * lanes);
    }
  }
}

using SumFn = void (*)(const Sums&, int64_t);
template <int kChannels, int... kVectors>
constexpr std::array<SumFn, row_pixels::kMostVectors> sum_functions(
    std::integer_sequence<int, kVectors...>) {
  return {sum_pixels<kChannels, kVectors + 1>...};
}
template <int... kChannels>
constexpr std::array<std::array<SumFn, row_pixels::kMostVectors>, row_pixels::kGroup> all_functions(
    std::integer_sequence<int, kChannels...>) {
  return {sum_functions<kChannels + 1>(
      std::make_integer_sequence<int, static_cast<int>(most_vectors(kChannels + 1))>())...};
}
/// [channels - 1][vectors - 1]
constexpr auto kSums =
    all_functions(std::make_integer_sequence<int, static_cast<int>(row_pixels::kGroup)>());

/// dst[i] = src[2 * i], of which `left` floats may be read.
void copy_even(const float* HWY_RESTRICT src, int64_t left, int64_t count,
               float* HWY_RESTRICT dst) {
  const D d;
  const int64_t lanes = vector_lanes();
  const auto load = [&](int64_t at) HWY_ATTR {
    if (at + lanes <= left) return hn::LoadU(d, src + at);
    return hn::LoadN(d, src + at, static_cast<size_t>(std::max<int64_t>(left - at, 0)));
  };
  for (int64_t i = 0; i < count; i += lanes) {
    const V even = hn::ConcatEven(d, load(2 * i + lanes), load(2 * i));
    if (i + lanes <= count) {
      hn::StoreU(even, d, dst + i);
    } else {
      hn::StoreN(even, d, dst + i, static_cast<size_t>(count - i));
    }
  }
}

/// Every stride-th column of a row from the one where a phase begins, with padding, to `dst`.
void copy_phase(const IgemmAxis& x, int64_t phase, int64_t pitch, const float* row, int64_t column,
                float* dst) {
  IgemmAxis columns = x;
  columns.origin = x.origin + phase;
  if (x.stride == 1) {
    copy_columns(columns, pitch, 1, row, column, dst);
    return;
  }
  // Places [begin, end) are inside.
  const int64_t begin = std::clamp<int64_t>(ceil_div(-columns.origin, x.stride), 0, pitch);
  const int64_t end = std::clamp<int64_t>(ceil_div(x.in - columns.origin, x.stride), begin, pitch);
  std::fill_n(dst, begin, 0.0f);
  const int64_t first = columns.origin + begin * x.stride;
  if (x.stride == 2 && column == 1) {
    copy_even(row + first, x.in - first, end - begin, dst + begin);
  } else {
    for (int64_t i = begin; i < end; ++i) dst[i] = row[(columns.origin + i * x.stride) * column];
  }
  std::fill(dst + end, dst + pitch, 0.0f);
}

/// The band's input to scratch memory.
void copy_band(const RowConv& c, const IgemmShape& s, const RowBand& band, const Area& area,
               const float* src, float* memory) {
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  const int64_t rows = area.phase / area.pitch;
  for (int64_t channel = 0; channel < s.ic; ++channel, memory += area.channel) {
    const float* plane = c.source.plane_of(src, band.image, channel);
    for (int64_t i = 0; i < rows * y.stride; ++i) {
      const int64_t row = band.row * y.stride + y.origin + i;
      float* to = memory + i % y.stride * x.stride * area.phase + i / y.stride * area.pitch;
      for (int64_t phase = 0; phase < x.stride; ++phase, to += area.phase) {
        if (!plane || row < 0 || row >= y.in) {
          std::fill_n(to, area.pitch, 0.0f);
        } else {
          copy_phase(x, phase, area.pitch, plane + row * c.source.row, c.source.column, to);
        }
      }
    }
  }
}

/// Whether products may read the source itself, as if it were scratch memory: nothing is padding,
/// and whole vectors do not reach out of the rows.
bool is_direct(const IgemmShape& s, const RowConvSource& source, const Area& area) {
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  return source.depth == IgemmAxis() && y.stride == 1 && x.stride == 1 && !reads_padding(y) &&
         !reads_padding(x) && (x.in == 1 || source.column == 1) && source.row == area.pitch &&
         area.places >= row_pixels::kMostVectors * vector_lanes();
}

/// How far from an output's place its inputs are, in the order of the products.
void find_inputs(const IgemmShape& s, const Area& area, int64_t* offset) {
  const IgemmAxis &y = s.axis[1], &x = s.axis[2];
  for (int64_t channel = 0; channel < s.ic; ++channel) {
    for (int64_t i = 0; i < y.taps; ++i) {
      const int64_t row = i * y.step, rows = row / y.stride;
      const int64_t line = channel * area.channel + rows * area.pitch +
                           (row - rows * y.stride) * x.stride * area.phase;
      for (int64_t j = 0; j < x.taps; ++j) {
        const int64_t column = j * x.step, columns = x.stride == 1 ? column : column / x.stride;
        const int64_t phase = column - columns * x.stride;
        *offset++ = line + columns + phase * area.phase;
      }
    }
  }
}

/// Pools the band's planes to `pooled`, and interleaves these.
void pool_band(const RowConv& c, const IgemmShape& s, const RowBand& band, const Area& area,
               float* planes, float* pooled, float* dst) {
  BoundEpilogue tail = c.epilogue;
  tail.channel_rows = 1;  // Rows are channels.
  tail.channels = s.oc;
  const row_pixels::PooledArea to(s, band.rows);
  const auto pool_channel =
      *c.pooling == PoolProblem::Kind::kMax ? pool_plane<Maximum> : pool_plane<Average>;
  for (int64_t i = 0; i < s.oc; ++i) {
    float* plane = planes + i * area.channel_place;
    apply_tail(tail, i, 0, plane, area.places);
    pool_channel(plane, area.pitch, to.rows, to.columns, pooled + i * to.channel_place);
  }
  const int64_t height = s.axis[1].out / 2, line = c.shape.axis[2].out / 2;
  const int64_t first_pixel = (band.image * height + band.row / 2) * line + band.column / 2;
  const bool whole = to.columns == line;
  const int64_t lines = whole ? 1 : to.rows, pixels = whole ? to.rows * line : to.columns;
  interleave_rows(pooled, to.channel_place, to.columns, s.oc, lines, pixels,
                  dst + first_pixel * s.dst_pixel, line * s.dst_pixel, s.dst_pixel);
}

void run_band(const RowConv& c, const RowBand& band, const float* src, float* dst, float* memory) {
  const IgemmShape s = row_band_shape(c.shape, band);
  const int64_t lanes = vector_lanes();
  Area area(s, band.rows);
  float* planes = memory;
  float* inputs = memory + round_up(s.oc, 4) * area.channel_place + row_pixels::kSlack;
  Sums sums;
  if (is_direct(s, c.source, area)) {
    sums.inputs = c.source.plane_of(src, band.image, 0) +
                  (band.row + s.axis[1].origin) * c.source.row + s.axis[2].origin;
    area.channel = c.source.channel;
  } else {
    copy_band(c, s, band, area, src, inputs);
    std::fill_n(inputs + s.ic * area.channel, row_pixels::kSlack, 0.0f);
    sums.inputs = inputs;
  }
  std::array<int64_t, kRowConvMostDepth> offsets;
  find_inputs(s, area, offsets.data());
  sums.offsets = offsets.data();
  sums.depth = s.depth();
  sums.weights = c.packed;
  sums.bias = c.epilogue.bias;
  sums.lo = c.epilogue.lo;
  sums.hi = c.epilogue.hi;
  sums.planes = planes;
  sums.plane = area.channel_place;
  const Parts groups = row_pixels::groups_of(s);
  for (int64_t g = 0; g < groups.count; ++g) {
    const int64_t channels = groups.size(g);
    const auto& functions = kSums[static_cast<size_t>(channels - 1)];
    const Parts pieces(ceil_div(area.places, lanes), most_vectors(channels));
    int64_t at = 0;
    for (int64_t i = 0; i < pieces.count; ++i) {
      const int64_t vectors = pieces.size(i);
      // The last one overlaps the one before instead of reaching out.
      const int64_t from = std::max<int64_t>(0, std::min(at, area.places - vectors * lanes));
      functions[static_cast<size_t>(vectors - 1)](sums, from);
      at += vectors * lanes;
    }
    sums.weights += sums.depth * channels;
    sums.bias += channels;
    sums.planes += channels * sums.plane;
  }
  if (c.pooling) {
    pool_band(c, s, band, area, planes, inputs + area.floats + row_pixels::kSlack, dst);
    return;
  }

  const int64_t line = c.shape.axis[2].out;
  const int64_t first_pixel = (band.image * s.axis[1].out + band.row) * line + band.column;
  interleave_rows(planes, area.channel_place, area.pitch, s.oc, band.rows, s.axis[2].out,
                  dst + first_pixel * s.dst_pixel, line * s.dst_pixel, s.dst_pixel);
  apply_row_band_tail(c, band, dst);
}

}  // namespace
}  // namespace plica::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica {

HWY_EXPORT(run_band);
HWY_EXPORT(vector_lanes);

double row_pixels_cost(const IgemmShape& shape) {
  const IgemmAxis& x = shape.axis[2];
  const auto pitch = static_cast<double>(row_pixels::Area(shape, 1).pitch);
  return static_cast<double>(shape.oc * shape.depth()) * pitch / static_cast<double>(x.out);
}

bool row_pixels_fit(const IgemmShape& shape, const RowConvSource& source) {
  if (source.column != 1 && shape.ic > 1) return false;
  // What it takes to put channels next to each other again is worth it.
  constexpr double kGain = 1.1;
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(vector_lanes)();
  return shape.oc < lanes &&
         kGain * row_pixels_cost(shape) < static_cast<double>(lanes * shape.depth());
}

size_t row_pixels_packed_size(const IgemmShape& shape) {
  return static_cast<size_t>(shape.depth() * shape.oc);
}

void row_pixels_pack(const IgemmShape& shape, const IgemmWeights& weights, float* packed) {
  const Parts groups = row_pixels::groups_of(shape);
  const int64_t taps = shape.taps();
  int64_t first = 0;
  for (int64_t g = 0; g < groups.count; first += groups.size(g++)) {
    for (int64_t k = 0; k < shape.depth(); ++k) {
      const float* from =
          weights.data + weights.tap_offset[k % taps] + k / taps * weights.ic_stride;
      for (int64_t c = 0; c < groups.size(g); ++c)
        *packed++ = from[(first + c) * weights.oc_stride];
    }
  }
}

int64_t row_pixels_band(const RowConv& conv) {
  const IgemmShape& shape = conv.shape;
  // Input and output stay in the first level of the cache, as far as they do for a few rows.
  constexpr int64_t kFloats = 8 << 10, kFewest = 8;
  int64_t rows = shape.axis[1].out;
  const auto floats = [&] {
    const row_pixels::Area area(shape, rows);
    return area.floats + round_up(shape.oc, 4) * area.channel_place;
  };
  while (rows > kFewest && floats() > kFloats) --rows;
  return conv.pooling ? rows / 2 * 2 : rows;
}

size_t row_pixels_scratch(const RowConv& conv) {
  const IgemmShape& s = conv.shape;
  const int64_t rows = row_pixels_band(conv), channels = round_up(s.oc, 4);
  const row_pixels::Area area(s, rows);
  int64_t floats = area.floats + channels * area.channel_place + 2 * row_pixels::kSlack;
  if (conv.pooling) floats += channels * row_pixels::PooledArea(s, rows).channel_place;
  return static_cast<size_t>(floats);
}

RowBandFn row_pixels_function() {
  choose_target();
  return HWY_DYNAMIC_POINTER(run_band);
}

}  // namespace plica
#endif  // HWY_ONCE
