#include "engine/plan/memory_plan.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "engine/base/aligned_buffer.h"

namespace plica {
namespace {

constexpr size_t kNone = std::numeric_limits<size_t>::max();

/// What is needed at each step.
std::vector<size_t> alive_bytes(const std::vector<Lifetime>& lifetimes) {
  int last = 0;
  for (const Lifetime& life : lifetimes) last = std::max(last, life.last);
  std::vector<size_t> alive(static_cast<size_t>(last) + 1, 0);
  for (const Lifetime& life : lifetimes) {
    for (int step = life.first; step <= life.last; ++step) {
      alive[static_cast<size_t>(step)] += align_up(life.bytes);
    }
  }
  return alive;
}

/// For each lifetime, those that overlap with it in time.
std::vector<std::vector<size_t>> find_neighbours(const std::vector<Lifetime>& lifetimes) {
  std::vector<size_t> begun(lifetimes.size());
  std::iota(begun.begin(), begun.end(), 0);
  std::sort(begun.begin(), begun.end(),
            [&](size_t a, size_t b) { return lifetimes[a].first < lifetimes[b].first; });
  std::vector<std::vector<size_t>> neighbours(lifetimes.size());
  for (auto a = begun.begin(); a != begun.end(); ++a) {
    for (auto b = a + 1; b != begun.end() && lifetimes[*b].first <= lifetimes[*a].last; ++b) {
      neighbours[*a].push_back(*b);
      neighbours[*b].push_back(*a);
    }
  }
  return neighbours;
}

/// Places lifetimes in one order after another, and keeps the smallest arena.
class Search {
 public:
  Search(const std::vector<Lifetime>& lifetimes, size_t lower_bound)
      : lifetimes_(lifetimes), neighbours_(find_neighbours(lifetimes)) {
    for (const auto& others : neighbours_) neighbour_count_ += others.size();
    best_.bytes = kNone;
    best_.lower_bound = lower_bound;
  }

  /// Begins with the largest `key(index)`, and mends that order: what sticks out at the end of the
  /// arena is placed earlier, until nothing does.
  template <typename Key>
  void try_largest_first(const Key& key) {
    // More tries seldom gain anything, and they are part of the start: about a millisecond.
    constexpr size_t kMaxTries = 64, kMaxVisits = 100'000;
    const size_t tries = std::clamp<size_t>(kMaxVisits / (neighbour_count_ + 1), 1, kMaxTries);
    std::vector<size_t> order(lifetimes_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return key(a) > key(b); });
    for (size_t i = 0; i < tries && best_.bytes > best_.lower_bound; ++i) {
      const auto highest = std::find(order.begin(), order.end(), place(order));
      const auto half_way = order.begin() + (highest - order.begin()) / 2;
      std::rotate(half_way, highest, std::next(highest));
    }
  }

  /// Shuffles the orders that no key gives. There are few where it is needed, in small networks.
  void try_any() {
    constexpr size_t kMaxTries = 2000, kMaxVisits = 200'000;
    const size_t tries = std::min(kMaxVisits / (neighbour_count_ + 1), kMaxTries);
    std::vector<size_t> order(lifetimes_.size());
    std::iota(order.begin(), order.end(), 0);
    std::minstd_rand random;
    for (size_t i = 0; i < tries && best_.bytes > best_.lower_bound; ++i) {
      // std::shuffle() differs between standard libraries.
      for (size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random() % k]);
      place(order);
    }
  }

  MemoryPlan result() { return std::move(best_); }

 private:
  /// Puts each into the smallest gap that holds it, or above everything that lasts with it. Returns
  /// the one that ends where the arena ends.
  size_t place(const std::vector<size_t>& order) {
    offsets_.assign(lifetimes_.size(), kNone);
    size_t bytes = 0, highest = order.front();
    for (const size_t index : order) {
      offsets_[index] = find_gap(index);
      const size_t end = offsets_[index] + align_up(lifetimes_[index].bytes);
      if (end <= bytes) continue;
      bytes = end;
      highest = index;
    }
    if (bytes < best_.bytes) {
      best_.bytes = bytes;
      best_.offsets = offsets_;
    }
    return highest;
  }

  size_t find_gap(size_t index) {
    taken_.clear();
    for (const size_t other : neighbours_[index]) {
      if (offsets_[other] == kNone) continue;
      taken_.emplace_back(offsets_[other], offsets_[other] + align_up(lifetimes_[other].bytes));
    }
    std::sort(taken_.begin(), taken_.end());
    const size_t bytes = align_up(lifetimes_[index].bytes);
    size_t best = kNone, best_gap = kNone;
    size_t end = 0;  // of what is taken below
    for (const auto& [from, to] : taken_) {
      if (from > end && from - end >= bytes && from - end < best_gap) {
        best = end;
        best_gap = from - end;
      }
      end = std::max(end, to);
    }
    return best == kNone ? end : best;
  }

  const std::vector<Lifetime>& lifetimes_;
  const std::vector<std::vector<size_t>> neighbours_;
  size_t neighbour_count_ = 0;
  MemoryPlan best_;
  // Of the order at hand; here so as not to be allocated for each.
  std::vector<size_t> offsets_;
  std::vector<std::pair<size_t, size_t>> taken_;
};

}  // namespace

MemoryPlan plan_memory(const std::vector<Lifetime>& lifetimes) {
  if (lifetimes.empty()) return {};
  const std::vector<size_t> alive = alive_bytes(lifetimes);
  const auto bytes = [&](size_t i) { return lifetimes[i].bytes; };
  const auto steps = [&](size_t i) {
    return static_cast<size_t>(lifetimes[i].last - lifetimes[i].first) + 1;
  };
  const auto pressure = [&](size_t i) {
    return *std::max_element(alive.begin() + lifetimes[i].first,
                             alive.begin() + lifetimes[i].last + 1);
  };
  Search search(lifetimes, *std::max_element(alive.begin(), alive.end()));
  search.try_largest_first(bytes);
  search.try_largest_first([&](size_t i) { return std::pair(pressure(i), bytes(i)); });
  search.try_largest_first([&](size_t i) { return bytes(i) * steps(i); });
  search.try_largest_first(steps);
  search.try_largest_first([&](size_t i) { return -lifetimes[i].first; });
  search.try_any();
  return search.result();
}

}  // namespace plica
