#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/igemm.h"

namespace plica {

/// Winograd's F(m, r) along one axis: `out` outputs of `taps` taps; an axis of one tap has F(1, 1).
/// With stride s, every s-th inputs and taps are a convolution of their own, by F(m, r / s), and
/// the products of all s at a point are summed.
struct WinogradAxis {
  int64_t out = 1, taps = 1, stride = 1;
  /// What sums of products are for, and outputs are computed from.
  constexpr int64_t points() const { return out + (taps + stride - 1) / stride - 1; }
  /// As many as inputs. Those that have a tap less than others have no product at infinity.
  constexpr int64_t products() const { return (out - 1) * stride + taps; }
  /// Of weights: a single tap of odd inputs is the same at all points.
  constexpr int64_t matrices() const {
    return stride == 2 && taps == 3 ? points() + 1 : products();
  }

  bool operator==(const WinogradAxis&) const = default;
};

/// When weights are transformed, which makes matrices() / taps() times as many of them.
enum class WinogradWeights {
  kEarly,   ///< When they are packed.
  kPerRun,  ///< In each run, all of them, into scratch memory.
  kLate,    ///< In each run, for each block of tiles, a few at a time.
};

/// How a convolution is computed, each group by itself: its output is cut into tiles of
/// y.out x x.out pixels, each of which takes products() products of matrices instead of
/// y.out * y.taps * x.out * x.taps. With dilation D, a tile's pixels are D apart. Tiles at the
/// lower and right border may hang over. Axis 0 is summed directly.
struct WinogradForm {
  WinogradAxis y, x;
  WinogradWeights weights = WinogradWeights::kEarly;

  constexpr int64_t points() const { return y.points() * x.points(); }
  constexpr int64_t products() const { return y.products() * x.products(); }
  constexpr int64_t matrices() const { return y.matrices() * x.matrices(); }
  constexpr int64_t taps() const { return y.taps * x.taps; }
  constexpr WinogradForm with(WinogradWeights when) const { return {y, x, when}; }
  bool operator==(const WinogradForm&) const = default;
};

/// Whether the form computes `shape`.
bool winograd_fits(const IgemmShape& shape, const WinogradForm& form);

/// Tiles of all images.
int64_t winograd_tiles(const IgemmShape& shape, const WinogradForm& form);

/// What is summed for a product: the channels of each tap of axis 0.
inline int64_t winograd_depth(const IgemmShape& shape) { return shape.axis[0].taps * shape.ic; }

/// Of a panel's weights as they are packed, [depth][width of the panel].
constexpr int64_t winograd_matrices(const WinogradForm& form) {
  return form.weights == WinogradWeights::kEarly ? form.matrices() : form.taps();
}

/// Floats that the packed weights take on this CPU.
size_t winograd_packed_size(const IgemmShape& shape, const WinogradForm& form);

/// Tiles that a register tile of products has at most.
int64_t winograd_register_rows();

/// Whether a group's transformed weights stay near the processor while a block of tiles after the
/// other reads them.
bool winograd_weights_near(const IgemmShape& shape, const WinogradForm& form);

/// Packs the weights of some columns; operands as igemm_pack_columns(), but `packed` is zeroed.
/// Layout, with panels as those of the implicit GEMM: [group][panel][matrices][depth][width of the
/// panel], transformed in double and rounded once, or, where they are not transformed yet,
/// [group][panel][depth][taps][width of the panel].
void winograd_pack(const IgemmShape& shape, const WinogradForm& form, const IgemmWeights& weights,
                   const IgemmColumns& columns, float* packed);

/// Part of the output: tiles [tile, tile + tiles), panels [panel, panel + panels) of a group.
struct WinogradBlock {
  int64_t group = 0;
  int64_t tile = 0, tiles = 0;
  int64_t panel = 0, panels = 0;
};

/// Bytes of scratch memory for one block of `tiles` tiles.
size_t winograd_scratch_bytes(const IgemmShape& shape, const WinogradForm& form, int64_t tiles);

/// Computes one block; operands as igemm_run(). The bits of an output element depend only on the
/// inputs of its tile, not on the block or the place in the batch.
///
/// A NaN or infinity among the input pixels of a tile may turn all outputs of the tile into NaN,
/// since transforms subtract inputs from each other. Where direct summation would give NaN or
/// infinity, the result is never finite. Inputs above 1e36 may overflow within the transforms.
///
/// Error of an element: below (min(depth, 128) + depth / 128 + 30) * 2^-24 times what the
/// transforms yield for absolute values of inputs, weights and coefficients; with stride 2, the
/// four products of a point are so many times `depth`. With random inputs, the largest error
/// relative to the largest output is that of direct summation for F(2x2, 3x3), F(3x3, 2x2) and the
/// latter's forms of stride 2, up to 4 times that for the others, and 6 times for F(4, 7).
using WinogradFn = void (*)(const IgemmShape& shape, const BoundEpilogue& epilogue,
                            const WinogradBlock& block, const float* src, const float* packed,
                            const float* residual, float* dst, float* scratch);
/// `form` is one of kWinogradForms (winograd_kernel.h), with any weights; `packed` are for kPerRun
/// what the next function makes.
WinogradFn winograd_function(const WinogradForm& form);

/// Transforms a panel of `packed` weights of kPerRun into where it is among `transformed` ones,
/// which lie as those of kEarly, but are rounded as those of kLate.
using WinogradWeightsFn = void (*)(const IgemmShape& shape, int64_t group, int64_t panel,
                                   const float* packed, float* transformed);
WinogradWeightsFn winograd_weights_function(const WinogradForm& form);

}  // namespace plica
