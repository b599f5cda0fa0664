#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/base/kernel.h"
#include "engine/kernels/igemm.h"

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
  const float* packed = nullptr;
  BoundEpilogue epilogue;  ///< Without a residual; bias padded to row_conv_bias_size().
};

/// One group, two axes (axis[0] trivial), dilation 1 along rows, not a matrix product, a depth of
/// at most 256, and few channels.
bool row_conv_fits(const IgemmShape& shape, const RowConvSource& source);

/// Pixels whose channels share a vector. Packed weights depend on it.
int64_t row_conv_shared_pixels(const IgemmShape& shape, const RowConvSource& source);
size_t row_conv_packed_size(const IgemmShape& shape);
void row_conv_pack(const IgemmShape& shape, const RowConvSource& source,
                   const IgemmWeights& weights, float* packed);
size_t row_conv_bias_size(const IgemmShape& shape);

/// Scratch memory that each thread of make_row_conv() needs.
size_t row_conv_bytes_per_thread(const IgemmShape& shape);

/// args.in[0] to args.out[0], channels-last with shape.dst_pixel floats from pixel to pixel. Each
/// output is one sum in the order (channel, y, x) or (y, x, channel), by layout, so its error is
/// below (depth + 2) * 2^-24 * sum |x w|; its bits do not depend on its place in the batch or the
/// number of threads. `owner` keeps weights and biases alive.
std::unique_ptr<Kernel> make_row_conv(RowConv conv, std::shared_ptr<const void> owner);

}  // namespace plica
