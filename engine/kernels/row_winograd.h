#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/kernels/row_conv.h"

namespace plica {

/// How `shape` is computed fastest along its rows, if it can be; rows and channels of the kernel
/// are summed directly. `strict`: by forms alone that round like direct summation.
std::optional<RowWinogradForm> row_winograd_form(const IgemmShape& shape,
                                                 const RowConvSource& source, bool strict);

/// Tells the form, of convolutions that differ in nothing else.
std::string row_winograd_name(const RowWinogradForm& form);

/// Time that the form takes for a sample, in the unit of igemm_cost().
double row_winograd_cost(const IgemmShape& shape, const RowConvSource& source,
                         const RowWinogradForm& form);

/// Floats of transformed weights, [panel][point][row][sequence][channel][width of the panel].
/// Panels are those of the implicit GEMM.
size_t row_winograd_transformed_size(const IgemmShape& shape, const RowWinogradForm& form);

/// Packs these, transformed in double and rounded once, or, if they are transformed in each run,
/// [panel][tap][channel][width of the panel]. Operands as igemm_pack_columns(), but `packed` is
/// zeroed.
size_t row_winograd_packed_size(const IgemmShape& shape, const RowWinogradForm& form);
void row_winograd_pack(const IgemmShape& shape, const RowWinogradForm& form,
                       const IgemmWeights& weights, const IgemmColumns& columns, float* packed);

/// Output rows of a band, at most, and the floats of scratch memory that it needs.
int64_t row_winograd_band(const RowConv& conv);
size_t row_winograd_scratch(const RowConv& conv);

/// Transforms what row `row` of the kernel has for a panel, from conv.packed.
using RowWeightsFn = void (*)(const RowConv& conv, int64_t panel, int64_t row, float* transformed);
RowWeightsFn row_winograd_weights_function(const RowWinogradForm& form);

/// conv.packed: transformed weights. Computes output rows [first, first + rows) of image `n`. The
/// bits of an output depend only on the inputs that its tile of `out` pixels reads; NaN, infinities
/// and the error are as WinogradFn's, with `depth` the rows of the kernel times sequences times
/// channels.
RowBandFn row_winograd_function(const RowWinogradForm& form);

}  // namespace plica
