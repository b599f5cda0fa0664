#include "engine/plan/memory_plan.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <random>

#include "engine/base/aligned_buffer.h"

namespace plica {
namespace {

void check_disjoint(const std::vector<Lifetime>& lives, const MemoryPlan& plan) {
  for (size_t a = 0; a < lives.size(); ++a) {
    CHECK(plan.offsets[a] % kAlignment == 0);
    CHECK(plan.offsets[a] + lives[a].bytes <= plan.bytes);
    for (size_t b = 0; b < a; ++b) {
      const bool together = lives[a].first <= lives[b].last && lives[b].first <= lives[a].last;
      const bool apart = plan.offsets[a] + lives[a].bytes <= plan.offsets[b] ||
                         plan.offsets[b] + lives[b].bytes <= plan.offsets[a];
      CHECK((!together || apart));
    }
  }
}

TEST_CASE("no memory at all is planned as none") {
  const MemoryPlan plan = plan_memory({});
  CHECK(plan.bytes == 0);
}

TEST_CASE("a chain needs two neighbouring buffers at a time") {
  const std::vector<Lifetime> lives{{1024, 0, 1}, {1024, 1, 2}, {1024, 2, 3}, {1024, 3, 4}};
  const MemoryPlan plan = plan_memory(lives);
  check_disjoint(lives, plan);
  CHECK(plan.bytes == 2048);
  CHECK(plan.lower_bound == 2048);
}

TEST_CASE("a small buffer goes into the smallest gap that holds it") {
  const std::vector<Lifetime> lives{{4096, 0, 9}, {2048, 0, 1}, {1024, 0, 9}, {1024, 2, 9}};
  const MemoryPlan plan = plan_memory(lives);
  check_disjoint(lives, plan);
  CHECK(plan.bytes == plan.lower_bound);
}

TEST_CASE("the bound is reached where the largest cannot all lie at the bottom") {
  const std::vector<Lifetime> lives{{6144, 0, 1}, {2048, 1, 2}, {1024, 2, 3}, {6144, 3, 3}};
  const MemoryPlan plan = plan_memory(lives);
  check_disjoint(lives, plan);
  CHECK(plan.lower_bound == 8192);
  CHECK(plan.bytes == plan.lower_bound);
}

TEST_CASE("the bound is reached where no order by size or duration does") {
  // A random network's, of which such orders waste a tenth.
  const std::vector<Lifetime> lives{
      {12480, 0, 11}, {2048, 1, 3},    {26304, 1, 1},  {576, 2, 13},   {9792, 2, 2},  {1728, 3, 4},
      {24576, 3, 3},  {16832, 5, 6},   {16832, 6, 7},  {16832, 7, 8},  {26880, 8, 9}, {10752, 8, 8},
      {26880, 9, 14}, {19968, 11, 12}, {7488, 11, 11}, {19968, 12, 15}};
  const MemoryPlan plan = plan_memory(lives);
  check_disjoint(lives, plan);
  CHECK(plan.bytes == plan.lower_bound);
}

TEST_CASE("networks take little more than what is alive at once") {
  std::mt19937 random(11);
  for (int round = 0; round < 100; ++round) {
    // Tensors that shrink with the depth, shortcuts past some steps, and scratch memory.
    const int steps = 20 + static_cast<int>(random() % 80);
    size_t size = 1 << 20;
    std::vector<Lifetime> lives;
    for (int step = 0; step < steps; ++step) {
      if (random() % 8 == 0 && size > 4096) size /= 2;
      const size_t expanded = random() % 5 == 0 ? 4 : 1;
      const int shortcut = random() % 4 == 0 ? static_cast<int>(random() % 8) : 0;
      lives.push_back({expanded * size, step, std::min(step + 1 + shortcut, steps)});
      if (random() % 2) lives.push_back({50'000 + random() % 400'000, step, step});
    }
    const MemoryPlan plan = plan_memory(lives);
    check_disjoint(lives, plan);
    CHECK(10 * plan.bytes <= 11 * plan.lower_bound);
  }
}

TEST_CASE("random lifetimes never overlap and waste little") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> lives;
    for (int i = 0; i < 40; ++i) {
      const int first = static_cast<int>(random() % 30);
      lives.push_back({random() % 5000, first, first + static_cast<int>(random() % 6)});
    }
    const MemoryPlan plan = plan_memory(lives);
    check_disjoint(lives, plan);
    CHECK(10 * plan.bytes <= 11 * plan.lower_bound);
  }
}

}  // namespace
}  // namespace plica
