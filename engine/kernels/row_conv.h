#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/base/ceil_div.h"
#include "engine/base/kernel.h"
#include "engine/base/rounding.h"
#include "engine/kernels/igemm.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/pool.h"

namespace plica {

/// Strides, in floats, of an activation [n, ic, height, width]. Either `column` is 1 (the planes
/// of an image as models get it) or `channel` is 1.
///
/// Of a convolution in three dimensions, [n, ic, depth, height, width], output planes are the
/// images, and each tap of the depth makes a plane of a channel a channel of its own.
struct RowConvSource {
  int64_t image = 0, channel = 0, row = 0, column = 0;
  IgemmAxis depth = {};
  int64_t plane = 0;

  /// The first row of a channel that an image of the output reads, or null if it reads zeros.
  const float* plane_of(const float* src, int64_t output_image, int64_t index) const {
    const int64_t z =
        output_image % depth.out * depth.stride + depth.origin + index % depth.taps * depth.step;
    if (z < 0 || z >= depth.in) return nullptr;
    return src + output_image / depth.out * image + index / depth.taps * channel + z * plane;
  }
};

/// Winograd's F(out, r) along rows. Taps are cut into segments of at most `segment`, nearly equal,
/// the longer ones first; every stride-th tap of a segment is a sequence of r taps, or of one less,
/// and the products of all sequences at a point are summed.
struct RowWinogradForm {
  int64_t out = 1, taps = 1, stride = 1, segment = 1;
  bool per_run = false;  ///< Weights are transformed in each run, into scratch memory.

  /// r
  constexpr int64_t longest() const { return ceil_div(segment, stride); }
  constexpr int64_t points() const { return out + longest() - 1; }
  /// Columns that a tile reads.
  constexpr int64_t inputs() const { return (out - 1) * stride + taps; }
  constexpr int64_t segments() const { return ceil_div(taps, segment); }
  constexpr int64_t sequences() const { return segments() * stride; }
  /// Those that have a tap less than others come last, and have no product at infinity.
  constexpr int64_t products() const { return (out - 1) * sequences() + taps; }
  constexpr int64_t sequences_at(int64_t point) const {
    return std::min(sequences(), products() - point * sequences());
  }
  /// The first tap of a sequence, and how many it has.
  int64_t first_tap(int64_t sequence) const {
    const Parts parts(taps, segment);
    const int64_t i = sequence % parts.count;
    return i * parts.least + std::min(i, parts.larger) + sequence / parts.count;
  }
  int64_t taps_of(int64_t sequence) const {
    return sequence < sequences_at(points() - 1) ? longest() : longest() - 1;
  }
  bool operator==(const RowWinogradForm&) const = default;
};

/// A two-dimensional convolution by bands of output rows. The rows of input that a band needs are
/// copied to scratch memory with their padding, whatever the layout they came in; the register tile
/// reads neighbouring pixels there. That is for so few channels that gathering inputs for a matrix
/// product would cost more than the product, as in a network's first layer, and, by Winograd along
/// rows, for long kernels of any number of channels.
struct RowConv {
  IgemmShape shape;  ///< src_pixel is not used.
  RowConvSource source;
  std::optional<RowWinogradForm> winograd;  ///< Or taps are summed.
  const float* packed = nullptr;
  BoundEpilogue epilogue;  ///< Without a residual; bias padded to row_conv_bias_size().
  /// The output is pooled by windows of 2x2, of which nothing is left out but an odd row or column
  /// at the end; shape.dst_pixel is of the pooled image.
  std::optional<PoolProblem::Kind> pooling = {};
};

/// Input rows that `rows` output rows span, with padding.
inline int64_t rows_spanned(const IgemmAxis& y, int64_t rows) {
  return (rows - 1) * y.stride + (y.taps - 1) * y.step + 1;
}

/// Products of an output that is not computed by Winograd, at most: a panel's weights stay in the
/// first level of the cache.
inline constexpr int64_t kRowConvMostDepth = 256;

/// Whether the convolution can be computed by rows: one group, two axes (axis[0] trivial), dilation
/// 1 along rows, no residual, not a matrix product, and few channels unless it is by Winograd and
/// reads pixels.
bool row_conv_fits(const RowConv& conv);

/// Time that it takes for a sample, in the unit of igemm_cost().
double row_conv_cost(const RowConv& conv);

/// How Winograd along rows computes a convolution that takes `cost` otherwise, if it is faster.
std::optional<RowWinogradForm> row_winograd_choice(const IgemmShape& shape,
                                                   const RowConvSource& source, Rounding rounding,
                                                   double cost);

/// Tells what row_conv_pack() writes for a convolution from what it writes for it otherwise.
std::string row_conv_key(const RowConv& conv);
size_t row_conv_packed_size(const RowConv& conv);
/// Packs all columns; `packed` is zeroed.
void row_conv_pack(const RowConv& conv, const IgemmWeights& weights, float* packed);
size_t row_conv_bias_size(const IgemmShape& shape);

/// Scratch memory that make_row_conv() needs: what threads share, and behind it that of each.
size_t row_conv_shared_bytes(const RowConv& conv);
size_t row_conv_bytes_per_thread(const RowConv& conv);

/// Output rows [row, row + rows) of an image, before it is pooled, columns [column, column +
/// columns), channels [channel, channel + channels), which are all of them unless the convolution
/// is by Winograd.
struct RowBand {
  int64_t image = 0;
  int64_t row = 0, rows = 0;
  int64_t column = 0, columns = 0;
  int64_t channel = 0, channels = 0;
};

/// What of the convolution the band's columns are: of as many as axis[2].out, from the first on.
IgemmShape row_band_shape(const IgemmShape& shape, const RowBand& band);

/// The part of the epilogue after the clamp, on a band of the output.
void apply_row_band_tail(const RowConv& conv, const RowBand& band, float* dst);

/// Computes a band, from and to the whole tensors.
using RowBandFn = void (*)(const RowConv& conv, const RowBand& band, const float* src, float* dst,
                           float* scratch);

/// Also an ImagePooler. args.in[0] to args.out[0], channels-last with shape.dst_pixel floats from
/// pixel to pixel. The bits of an output do not depend on its place in the batch or the number of
/// threads; its error is that of row_direct_function() or row_winograd_function(). `owner` keeps
/// weights and biases alive.
std::unique_ptr<Kernel> make_row_conv(RowConv conv, std::shared_ptr<const void> owner);

}  // namespace plica
