#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "engine/base/kernel.h"
#include "engine/kernels/igemm_kernel.h"
#include "engine/kernels/processor.h"
#include "engine/kernels/winograd.h"

namespace plica {

/// The forms that there are kernels for, with any weights. Of the same taps, the more accurate
/// first.
inline constexpr WinogradForm kWinogradForms[] = {
    {{3, 2}, {3, 2}},       {{1, 1}, {3, 2}},      {{3, 2}, {1, 1}},       {{2, 3}, {2, 3}},
    {{2, 3}, {4, 3}},       {{4, 3}, {4, 3}},      {{2, 5}, {2, 5}},       {{1, 1}, {4, 3}},
    {{4, 3}, {1, 1}},       {{1, 1}, {4, 5}},      {{4, 5}, {1, 1}},       {{1, 1}, {4, 7}},
    {{4, 7}, {1, 1}},       {{3, 4}, {3, 4}},      {{3, 3, 2}, {3, 3, 2}}, {{5, 3, 2}, {5, 3, 2}},
    {{3, 4, 2}, {3, 4, 2}}, {{2, 5, 2}, {2, 5, 2}}};
/// Whether the form rounds like direct summation.
constexpr bool is_strict(const WinogradForm& form) { return form.points() == 16; }

/// Time that the implicit GEMM takes for `shape`, in multiplications of two numbers.
double igemm_cost(const IgemmShape& shape, const FloatCost& float_cost = processor().float_cost);

/// Time that the form takes, in the same unit.
double winograd_cost(const IgemmShape& shape, const WinogradForm& form,
                     const FloatCost& float_cost = processor().float_cost);

struct WinogradChoice {
  std::optional<WinogradForm> form;  ///< None for direct summation.
  double cost;                       ///< In the unit of igemm_cost().
};
/// How `shape` should be computed. `strict`: by forms that are is_strict() alone. Weights that
/// would take more than `spare_bytes` more than those of direct summation are not early.
WinogradChoice winograd_choice(const IgemmShape& shape, bool strict,
                               int64_t spare_bytes = std::numeric_limits<int64_t>::max(),
                               const FloatCost& float_cost = processor().float_cost);

/// Tiles of a block, at most. For speed alone: the bits do not depend on it.
int64_t winograd_block_tiles(const IgemmShape& shape, const WinogradForm& form);

/// `parts`, which the form computes, have weights from winograd_pack() and biases of
/// igemm_pack_bias().
std::unique_ptr<Kernel> make_winograd(const WinogradForm& form, std::vector<IgemmPart> parts,
                                      IgemmOperands operands, std::shared_ptr<const void> owner,
                                      int64_t block_tiles);

/// Scratch memory that all threads of it share, and behind it that of each.
size_t winograd_shared_bytes(const WinogradForm& form, const std::vector<IgemmPart>& parts);
size_t winograd_bytes_per_thread(const WinogradForm& form, const std::vector<IgemmPart>& parts,
                                 int64_t block_tiles);

}  // namespace plica
