#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/pointwise.h"

namespace plica {

/// One fully connected layer, y = f(W x + bias), of a small network that stays in the cache.
struct MlpLayer {
  int64_t in = 0, out = 0;
  const float* weights = nullptr;  ///< As pack_mlp_weights() has laid them out.
  const float* bias = nullptr;     ///< mlp_padded(out) floats, zero behind `out`.
  float lo = 0, hi = 0;            ///< The result is clamped to [lo, hi], NaN kept, ...
  BoundPointwise activation;       ///< ... and then goes through this function, if there is one.
};

/// `out` rounded up to whole vectors of the widest target.
int64_t mlp_padded(int64_t out);
/// Floats of a layer's packed weights.
int64_t mlp_packed_size(int64_t in, int64_t out);
/// From `weight` [out, in] row-major to blocks of as many columns as this CPU computes at a time,
/// [block][in][columns], and the last 12 or less, which are not a whole vector of the widest
/// target, to quads, [in / 4][quad][4 inputs][4 columns].
void pack_mlp_weights(const float* weight, int64_t in, int64_t out, float* packed);

/// Rows that share one pass over the weights.
inline constexpr int64_t kMlpRows = 4;

/// Floats of scratch memory that a call needs, for layers at most `widest` (padded) wide.
int64_t mlp_scratch_size(int64_t widest);

/// Runs `count` layers over rows [0, rows) of src [rows, layers[0].in], writing dst
/// [rows, layers[count - 1].out]. src and dst do not overlap.
///
/// Each output is (c0 + c1) + (c2 + c3) + bias, where chain cj adds the products of inputs j, j +
/// 4, j + 8, ... in this order, or, in quads, those of every second of these, and then the others:
/// as many chains hide the latency of the additions. The bits of a row depend neither on its place
/// nor on the number of rows.
using MlpFunction = void (*)(const MlpLayer* layers, size_t count, const float* src, float* dst,
                             int64_t rows, float* scratch);

/// The function for this CPU: ask once, when the plan is made.
MlpFunction mlp_function();

}  // namespace plica
