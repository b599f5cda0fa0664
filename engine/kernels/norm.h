#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/kernel.h"

namespace plica {

/// y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and (biased) variance taken from the
/// data itself.
///
/// Statistics are accumulated in double, in two passes and a fixed order; mean and scale are
/// rounded once, and x - mean is formed before it is scaled, so that a mean far from 0 costs
/// nothing. Error of an element: about 2 units in the last place of the larger of |y| and |bias|.
/// The bits of an element depend on the data of its own statistics alone. dst may be src where
/// their strides agree, else they must not overlap.

/// Statistics for each group of neighbouring channels and for each of `sets` sets of pixels.
///
/// src: sets * pixels rows of `channels` floats, `src_pixel_stride` apart; dst the same, dense.
/// GroupNorm: sets = N, pixels = H * W. InstanceNorm: likewise, groups = channels. BatchNorm with
/// the batch's own statistics: sets = 1, pixels = N * H * W, groups = channels.
struct ChannelNormProblem {
  int64_t sets = 0, pixels = 0, channels = 0, groups = 1;
  int64_t src_pixel_stride = 0;
  double eps = 0;
  int weight = -1, bias = -1;  ///< Index into args.in of `channels` floats; -1: 1 and 0.

  /// Scratch that each thread needs; worker w's is at args.workspace + w * that.
  size_t workspace_per_thread() const;
  int64_t channels_per_task() const;
};
std::unique_ptr<Kernel> make_channel_norm_kernel(const ChannelNormProblem& problem);

/// Statistics for each row: LayerNorm. src and dst are dense.
struct RowNormProblem {
  int64_t rows = 0, length = 0;
  double eps = 0;
  int weight = -1, bias = -1;  ///< Index into args.in of `length` floats; -1: 1 and 0.
};
std::unique_ptr<Kernel> make_row_norm_kernel(const RowNormProblem& problem);

}  // namespace plica
