#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/base/kernel.h"
#include "engine/kernels/epilogue.h"

namespace plica {

/// One spatial axis of an implicit GEMM. Output position o in [0, out) reads the inputs
/// o * stride + origin + t * step for taps t in [0, taps), zero where that is outside [0, in), and
/// is stored at o * dst_step + dst_origin of dst_size positions.
struct IgemmAxis {
  int64_t in = 1, out = 1;
  int64_t taps = 1;
  int64_t stride = 1, origin = 0, step = 1;
  int64_t dst_size = 1, dst_step = 1, dst_origin = 0;

  bool operator==(const IgemmAxis&) const = default;
};

/// A convolution as a matrix product: rows are output pixels (n, then the spatial axes), the depth
/// K runs over (taps of axis 0, 1, 2, ic), columns are output channels. A plain matrix product has
/// n rows and axes of size 1. Activations are channels-last; `*_pixel` is the distance in floats
/// from one pixel to the next, at least the number of channels.
struct IgemmShape {
  int64_t n = 0;
  std::array<IgemmAxis, 3> axis;
  int64_t groups = 1;
  int64_t ic = 0, oc = 0;  ///< Of one group.
  int64_t src_pixel = 0, dst_pixel = 0, residual_pixel = 0;

  int64_t rows() const { return n * axis[0].out * axis[1].out * axis[2].out; }
  int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  int64_t depth() const { return taps() * ic; }
};

/// Whether the output is images of more than one row, each pixel written once in their order.
bool is_image(const IgemmShape& shape);
/// How rows of images (axis[1]) lie; scratch memory and weights are left to the kernel.
RowLayout row_layout_of(const IgemmShape& shape, int src);
/// The positions inside the input that output positions `out` read.
RowRange input_rows(const IgemmAxis& axis, RowRange out);

/// Taps [first, last) of an axis.
struct TapRange {
  int64_t first = 0, last = 0;
  bool operator==(const TapRange&) const = default;
};
/// The taps that are inside the input where the first one is at `position`.
TapRange taps_inside(const IgemmAxis& axis, int64_t position);

/// `oc` of a group rounded up to what its packed weights and biases have room for.
int64_t igemm_padded_columns(const IgemmShape& shape);
/// bias[groups * oc] to [groups][igemm_padded_columns()]; `packed` is zeroed.
void igemm_pack_bias(const IgemmShape& shape, const float* bias, float* packed);

/// Floats that the packed weights of `shape` take on this CPU.
size_t igemm_packed_size(const IgemmShape& shape);

/// Where weights are before they are packed: the factor of channel c of tap t for output channel o
/// of group g is data[g * group_stride + o * oc_stride + c * ic_stride + tap_offset[t]].
struct IgemmWeights {
  const float* data = nullptr;
  int64_t group_stride = 0, oc_stride = 0, ic_stride = 0;
  const int64_t* tap_offset = nullptr;  ///< [shape.taps()]
};

/// Output channels [first, first + count) of a group. `first` is a multiple of igemm_tile().panel,
/// and so is `count` unless they are the last ones.
struct IgemmColumns {
  int64_t group = 0, first = 0, count = 0;
};

/// Packs some columns: `weights.data` is for the first of them, `packed` for all columns of all
/// groups, aligned. All of the columns' part is written but for those that only round up, whose
/// values do not matter.
void igemm_pack_columns(const IgemmShape& shape, const IgemmWeights& weights,
                        const IgemmColumns& columns, float* packed);
/// Packs all columns.
void igemm_pack(const IgemmShape& shape, const IgemmWeights& weights, float* packed);

/// The register tile of this CPU.
struct IgemmTile {
  int64_t rows;
  int64_t panel;  ///< Columns.
};
IgemmTile igemm_tile();

/// A rectangle of the output: rows [row, row + rows), panels [panel, panel + panels) of a group.
struct IgemmBlock {
  int64_t group = 0;
  int64_t row = 0, rows = 0;
  int64_t panel = 0, panels = 0;
};

/// Rows of a block at most: what the scratch memory is sized for, and what its inputs, which may
/// have to be gathered there, leave of the second level of the cache.
int64_t igemm_max_rows(const IgemmShape& shape);

/// Bytes of scratch memory for blocks of at most `rows` rows.
size_t igemm_scratch_bytes(const IgemmShape& shape, int64_t rows);

/// Computes one block. The epilogue's bias is packed by igemm_pack_bias(), its scale and shift are
/// [groups * oc]. `src`, `dst` and `residual` point to the whole tensors; `residual` may be
/// null unless the epilogue has one. The bits of an output element depend on its inputs and K
/// alone: not on the block, the tile or the place in the batch that it is computed in. Sums are
/// taken over slices of K in order, the first from the bias on, and the slices' sums are added in
/// order. Slices have at most S = 512 products, 1024 where K is the channels of one pixel. Error of
/// an element: below (min(K, S) + K / S + 2) * 2^-24 * (|bias| + sum |x w|).
void igemm_run(const IgemmShape& shape, const BoundEpilogue& epilogue, const IgemmBlock& block,
               const float* src, const float* packed, const float* residual, float* dst,
               float* scratch);

/// The same function, looked up once.
using IgemmFn = void (*)(const IgemmShape&, const BoundEpilogue&, const IgemmBlock&, const float*,
                         const float*, const float*, float*, float*);
IgemmFn igemm_function();

}  // namespace plica
