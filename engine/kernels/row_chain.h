#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/kernel.h"

namespace plica {

inline constexpr size_t kMaxChain = 8;        ///< Kernels of a chain.
inline constexpr size_t kMaxChainInputs = 6;  ///< Inputs of each.

/// One kernel of a chain. It reads the result of the one before it as its input
/// row_layout()->src; `inputs[i]` says where the others are among the chain's inputs (-1: nowhere).
struct ChainStage {
  std::shared_ptr<const Kernel> kernel;
  std::vector<int> inputs;
};

/// Whether `next` can read rows as `kernel` leaves them.
bool can_chain(const Kernel& kernel, const Kernel& next);

/// Output rows of a band for which the rows between the kernels fit `bytes`; 0 if there are none.
int64_t chain_band(const std::vector<const Kernel*>& kernels, size_t bytes);

/// Bytes that one thread moves in all images, from where rows that the next band needs too were to
/// where that band has them.
int64_t chain_moved_bytes(const std::vector<const Kernel*>& kernels, int64_t band);

/// Bytes of scratch memory that each thread of make_row_chain() needs.
size_t chain_bytes_per_thread(const std::vector<const Kernel*>& kernels, int64_t band);

/// Runs kernels one behind the other, by bands of `band` rows of the last one's output, so that
/// what they hand on is still in the cache. Each row is computed once, but for those that two
/// threads need. The bits are those of the kernels run one by one.
std::unique_ptr<Kernel> make_row_chain(std::vector<ChainStage> stages, int64_t band);

}  // namespace plica
