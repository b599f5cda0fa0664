#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace plica {

/// A piece of memory that is needed from step `first` to step `last`, both included.
struct Lifetime {
  size_t bytes = 0;
  int first = 0;
  int last = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  ///< One for each lifetime, multiples of kAlignment.
  size_t bytes = 0;             ///< Size of the arena.
  size_t lower_bound = 0;       ///< The most that is alive at any one step.
};

/// Places lifetimes in one arena so that no two that overlap in time overlap in memory. Tries
/// orders by size, by duration and the like, then shuffled ones, and stops at the lower bound,
/// which plans of networks nearly always reach.
MemoryPlan plan_memory(const std::vector<Lifetime>& lifetimes);

}  // namespace plica
