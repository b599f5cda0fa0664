#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/igemm.h"

namespace plica {

/// Winograd's F(m x m, 3x3) for m = 2 or 4: a convolution of 3x3 taps, stride 1, dilation 1 and one
/// group is cut into tiles of m x m outputs, each of which needs (m + 2)^2 products of matrices
/// instead of 9 m^2. Tiles are numbered as (image, tile row, tile column), where an image is a
/// plane of axes 1 and 2; those at the lower and right border may hang over.

/// Whether the formula applies to `shape`.
bool is_winograd_shape(const IgemmShape& shape);

/// Tiles of all images.
int64_t winograd_tiles(const IgemmShape& shape, int m);

/// Floats that the transformed weights take on this CPU: (m + 2)^2 / 9 of the weights.
size_t winograd_packed_size(const IgemmShape& shape, int m);

/// Transforms the weights of some columns in double and rounds once; operands as
/// igemm_pack_columns(), but `packed` is zeroed. Layout: [panel][(m + 2)^2][ic][width of the
/// panel], panels as those of the implicit GEMM.
void winograd_pack(const IgemmShape& shape, int m, const IgemmWeights& weights,
                   const IgemmColumns& columns, float* packed);

/// Part of the output: tiles [tile, tile + tiles), panels [panel, panel + panels).
struct WinogradBlock {
  int64_t tile = 0, tiles = 0;
  int64_t panel = 0, panels = 0;
};

/// Bytes of scratch memory for one block of `tiles` tiles.
size_t winograd_scratch_bytes(const IgemmShape& shape, int m, int64_t tiles);

/// Computes one block; operands as igemm_run(). The bits of an output element depend only on the
/// inputs of its tile, not on the block or the place in the batch.
///
/// A NaN or infinity among the (m + 2)^2 input pixels of a tile may turn all outputs of the tile
/// into NaN, since transforms subtract inputs from each other. Where direct summation would give
/// NaN or infinity, the result is never finite. Inputs above 1e37 may overflow within the
/// transforms.
///
/// Error of an element: below (min(ic, 128) + ic / 128 + 18) * 2^-24 times what the transforms
/// yield for absolute values of inputs, weights and coefficients. With random inputs, the largest
/// error relative to the largest output is that of direct summation for m = 2, and about 4 times
/// that for m = 4.
using WinogradFn = void (*)(const IgemmShape& shape, const BoundEpilogue& epilogue,
                            const WinogradBlock& block, const float* src, const float* packed,
                            const float* residual, float* dst, float* scratch);
WinogradFn winograd_function(int m);

}  // namespace plica
