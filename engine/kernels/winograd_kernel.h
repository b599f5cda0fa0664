#pragma once

#include <cstdint>
#include <memory>

#include "engine/base/kernel.h"
#include "engine/kernels/igemm_kernel.h"
#include "engine/kernels/winograd.h"

namespace plica {

/// The tile that should compute `shape`: 4, 2, or 0 for direct summation. `strict`: at most 2.
int winograd_choice(const IgemmShape& shape, bool strict);

/// Tiles of a block, at most. For speed alone: the bits do not depend on it.
int64_t winograd_block_tiles(const IgemmShape& shape, int m);

/// `part` has weights from winograd_pack() and a bias of igemm_pack_bias().
std::unique_ptr<Kernel> make_winograd(int m, const IgemmPart& part, IgemmOperands operands,
                                      std::shared_ptr<const void> owner, int64_t block_tiles);

/// Scratch memory that each thread of it needs.
size_t winograd_bytes_per_thread(int m, const IgemmShape& shape, int64_t block_tiles);

}  // namespace plica
