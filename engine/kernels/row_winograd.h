#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/kernels/row_conv.h"
#include "engine/kernels/winograd.h"

namespace plica {

/// How `shape` may be computed along its rows. Every stride-th tap and input are a convolution of
/// their own, of F(out, taps / stride); rows and channels of the kernel are summed directly.
/// `strict`: by forms alone that round like direct summation.
std::optional<WinogradAxis> row_winograd_form(const IgemmShape& shape, bool strict);

/// Time that the form takes for a sample, in the unit of igemm_cost().
double row_winograd_cost(const IgemmShape& shape, const RowConvSource& source,
                         const WinogradAxis& form);

/// Floats of the weights that row_winograd_pack() writes: [panel][point][row][phase][channel][width
/// of the panel], transformed in double and rounded once. Panels are those of the implicit GEMM;
/// operands as igemm_pack_columns(), but `packed` is zeroed.
size_t row_winograd_packed_size(const IgemmShape& shape, const WinogradAxis& form);
void row_winograd_pack(const IgemmShape& shape, const WinogradAxis& form,
                       const IgemmWeights& weights, const IgemmColumns& columns, float* packed);

/// Output rows of a band, at most, and the floats of scratch memory that it needs.
int64_t row_winograd_band(const RowConv& conv);
size_t row_winograd_scratch(const RowConv& conv);

/// Computes output rows [first, first + rows) of image `n`. The bits of an output depend only on
/// the inputs that its tile of `out` pixels reads; NaN, infinities and the error are as
/// WinogradFn's, with `depth` the rows of the kernel times phases times channels.
RowBandFn row_winograd_function(const WinogradAxis& form);

}  // namespace plica
