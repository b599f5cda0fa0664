#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/base/kernel.h"
#include "engine/kernels/igemm.h"
#include "engine/kernels/winograd.h"

namespace plica {

/// Strides, in floats, of an activation [n, ic, height, width]. Either `column` is 1 (the planes
/// of an image as models get it) or `channel` is 1.
struct RowConvSource {
  int64_t image = 0, channel = 0, row = 0, column = 0;
};

/// A two-dimensional convolution of so few channels that gathering its inputs for a matrix product
/// would cost more than the product: a network's first layer. The rows of input that a band of
/// output rows needs are copied to scratch memory with their padding; the register tile reads
/// neighbouring pixels there, whatever the layout they came in.
struct RowConv {
  IgemmShape shape;  ///< src_pixel is not used.
  RowConvSource source;
  std::optional<WinogradAxis> winograd;  ///< Of the taps along a row; else they are summed.
  const float* packed = nullptr;
  BoundEpilogue epilogue;  ///< Without a residual; bias padded to row_conv_bias_size().
};

/// One group, two axes (axis[0] trivial), dilation 1 along rows, not a matrix product, few channels
/// and a small depth.
bool row_conv_fits(const RowConv& conv);

/// Tells what row_conv_pack() writes for a convolution from what it writes for it otherwise.
std::string row_conv_key(const RowConv& conv);
size_t row_conv_packed_size(const RowConv& conv);
/// `packed` is zeroed.
void row_conv_pack(const RowConv& conv, const IgemmWeights& weights, float* packed);
size_t row_conv_bias_size(const IgemmShape& shape);

/// Scratch memory that each thread of make_row_conv() needs.
size_t row_conv_bytes_per_thread(const RowConv& conv);

/// Output rows [row, row + rows) of an image, columns [column, column + columns).
struct RowBand {
  int64_t image = 0;
  int64_t row = 0, rows = 0;
  int64_t column = 0, columns = 0;
};

/// What of the convolution the band's columns are: of as many as axis[2].out, from the first on.
IgemmShape row_band_shape(const IgemmShape& shape, const RowBand& band);

/// The part of the epilogue after the clamp, on a band of the output.
void apply_row_band_tail(const RowConv& conv, const RowBand& band, float* dst);

/// Computes a band, from and to the whole tensors.
using RowBandFn = void (*)(const RowConv& conv, const RowBand& band, const float* src, float* dst,
                           float* scratch);

/// args.in[0] to args.out[0], channels-last with shape.dst_pixel floats from pixel to pixel. The
/// bits of an output do not depend on its place in the batch or the number of threads; its error is
/// that of row_direct_function() or row_winograd_function(). `owner` keeps weights and biases
/// alive.
std::unique_ptr<Kernel> make_row_conv(RowConv conv, std::shared_ptr<const void> owner);

}  // namespace plica
