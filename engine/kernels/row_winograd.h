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

/// Floats of the weights that row_winograd_pack() writes: [panel][point][row][sequence][channel]
/// [width of the panel], transformed in double and rounded once. Panels are those of the implicit
/// GEMM; operands as igemm_pack_columns(), but `packed` is zeroed.
size_t row_winograd_packed_size(const IgemmShape& shape, const RowWinogradForm& form);
void row_winograd_pack(const IgemmShape& shape, const RowWinogradForm& form,
                       const IgemmWeights& weights, const IgemmColumns& columns, float* packed);

/// Output rows of a band, at most, and the floats of scratch memory that it needs.
int64_t row_winograd_band(const RowConv& conv);
size_t row_winograd_scratch(const RowConv& conv);

/// Computes output rows [first, first + rows) of image `n`. The bits of an output depend only on
/// the inputs that its tile of `out` pixels reads; NaN, infinities and the error are as
/// WinogradFn's, with `depth` the rows of the kernel times sequences times channels.
RowBandFn row_winograd_function(const RowWinogradForm& form);

}  // namespace plica
