#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"

namespace plica {

/// How the positions of an axis are made: output position o is the sum over k < taps of
///   weight[o * taps + k] * in[position[o * taps + k]].
struct ResampleAxis {
  int64_t in = 1, out = 1, taps = 1;
  std::vector<int64_t> position;
  std::vector<double> weight;
};

/// Resampling of images by a filter for each axis: bicubic interpolation, or what smooths where it
/// makes smaller. Channels are fastest; planes are as many images of one channel.
struct ResampleProblem {
  int64_t n = 1, c = 1;
  int64_t src_pixel_stride = 1, dst_pixel_stride = 1;
  ResampleAxis height, width;
};

/// args.in[0]: [n, height.in, width.in, c] with src_pixel_stride; args.out[0]: the same with the
/// axes' `out` and dst_pixel_stride. They do not overlap. The height is resampled first, then the
/// width, taps in order, with weights rounded to float32: with h and w the sums of the axes'
/// |weight|, the error is below (height.taps + width.taps + 2) epsilon h w times the largest of the
/// elements that take part. A weight of 0 still multiplies.
std::unique_ptr<Kernel> make_resample(const ResampleProblem& problem);

/// Scratch memory that each thread of make_resample() needs.
size_t resample_bytes_per_thread(const ResampleProblem& problem);

}  // namespace plica
