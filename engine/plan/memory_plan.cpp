#include "engine/plan/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "engine/base/aligned_buffer.h"

namespace plica {
namespace {

size_t find_lower_bound(const std::vector<Lifetime>& lifetimes) {
  int last = 0;
  for (const Lifetime& life : lifetimes) last = std::max(last, life.last);
  std::vector<size_t> alive(static_cast<size_t>(last) + 1, 0);
  for (const Lifetime& life : lifetimes) {
    for (int step = life.first; step <= life.last; ++step) {
      alive[static_cast<size_t>(step)] += align_up(life.bytes);
    }
  }
  return *std::max_element(alive.begin(), alive.end());
}

}  // namespace

MemoryPlan plan_memory(const std::vector<Lifetime>& lifetimes) {
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  MemoryPlan plan;
  plan.offsets.assign(lifetimes.size(), 0);
  plan.lower_bound = find_lower_bound(lifetimes);

  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  std::vector<size_t> placed;  // by offset
  for (const size_t index : order) {
    const Lifetime& life = lifetimes[index];
    const size_t bytes = align_up(life.bytes);
    size_t best = kNone;
    size_t best_gap = kNone;
    size_t end = 0;  // of the memory below that is taken while `life` lasts
    for (const size_t other : placed) {
      if (lifetimes[other].last < life.first || lifetimes[other].first > life.last) continue;
      const size_t offset = plan.offsets[other];
      if (offset > end && offset - end >= bytes && offset - end < best_gap) {
        best = end;
        best_gap = offset - end;
      }
      end = std::max(end, offset + align_up(lifetimes[other].bytes));
    }
    plan.offsets[index] = best == kNone ? end : best;
    plan.bytes = std::max(plan.bytes, plan.offsets[index] + bytes);
    const auto above = [&](size_t a, size_t b) { return plan.offsets[a] < plan.offsets[b]; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), index, above), index);
  }
  return plan;
}

}  // namespace plica
