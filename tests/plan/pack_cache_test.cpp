#include "engine/plan/pack_cache.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/single_op.h"

namespace plica {
namespace {

/// Fills piece p of `pieces` with numbers that say where they are.
FillPiece numbers(size_t count, int64_t pieces) {
  return [=](float* packed, int64_t piece, std::vector<float>&) {
    const auto at = [&](int64_t n) {
      return count * static_cast<size_t>(n) / static_cast<size_t>(pieces);
    };
    for (size_t i = at(piece); i < at(piece + 1); ++i) packed[i] += static_cast<float>(i + 1);
  };
}

bool are_numbers(const PackedWeights& weights, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (weights.data()[i] != static_cast<float>(i + 1)) return false;
  }
  return true;
}

TEST_CASE("packed weights are aligned, zero at first, and keep to themselves", "[plan]") {
  PackCache cache;
  std::vector<std::pair<PackedWeights, size_t>> all;
  for (size_t i = 0; i < 200; ++i) {
    const size_t count = i * i * 7 % 40000;
    all.emplace_back(
        cache.get("node", std::to_string(i), count,
                  [&](float* to) {
                    CHECK(reinterpret_cast<uintptr_t>(to) % kAlignment == 0);
                    CHECK(std::count(to, to + count, 0.f) == static_cast<std::ptrdiff_t>(count));
                    numbers(count, 1)(to, 0, *std::make_unique<std::vector<float>>());
                  }),
        count);
  }
  for (const auto& [weights, count] : all) CHECK(are_numbers(weights, count));
  const auto again = cache.get("node", "5", all[5].second, [](float*) { FAIL("packed twice"); });
  CHECK(again.data() == all[5].first.data());
}

TEST_CASE("what is put off is packed by pieces, each once, on all threads", "[plan]") {
  PackCache cache;
  constexpr size_t kLarge = 100003, kSmall = 3;
  const PackedWeights large = cache.get_later("a", "w", kLarge, 7, numbers(kLarge, 7));
  const PackedWeights same = cache.get_later("a", "w", kLarge, 7, numbers(kLarge, 7));
  const PackedWeights small = cache.get_later("b", "w", kSmall, 1, numbers(kSmall, 1));
  CHECK(same.data() == large.data());
  CHECK(cache.pending_bytes() == (kLarge + kSmall) * sizeof(float));
  CHECK(large.data()[0] == 0);
  testing::ReversedTeam team(3);
  cache.finish(team);
  CHECK(are_numbers(large, kLarge));
  CHECK(are_numbers(small, kSmall));
  CHECK(cache.pending_bytes() == 0);
  CHECK(cache.bytes() == (kLarge + kSmall) * sizeof(float));
}

TEST_CASE("originals are released while one large tensor is packed", "[plan]") {
  constexpr size_t kCount = size_t{8} << 20;  // 32 MB
  constexpr int64_t kPieces = 64;
  int64_t filled = 0, since = 0, most = 0, releases = 0;
  PackCache cache([&] { ++releases, since = 0; });
  const PackedWeights weights =
      cache.get_later("a", "w", kCount, kPieces, [&](float*, int64_t, std::vector<float>&) {
        ++filled;
        most = std::max(most, ++since);
      });
  Team alone;
  cache.finish(alone);
  CHECK(filled == kPieces);
  CHECK(releases >= 7);
  CHECK(most <= 9);  // of 512 KB
}

TEST_CASE("scratch memory comes back from piece to piece", "[plan]") {
  PackCache cache;
  std::atomic<int> kept = 0;
  for (const char* node : {"a", "b"}) {
    cache.get_later(node, "w", 1, 2, [&](float*, int64_t, std::vector<float>& scratch) {
      kept += scratch.size() == 1000;
      scratch.resize(1000);
    });
  }
  Team alone;
  cache.finish(alone);
  CHECK(kept == 3);
}

TEST_CASE("weights whose packing fails are forgotten", "[plan]") {
  PackCache cache;
  Team alone;
  cache.get_later("a", "w", 10, 3, [](float*, int64_t piece, std::vector<float>&) {
    if (piece == 1) throw std::runtime_error("no");
  });
  CHECK_THROWS_AS(cache.finish(alone), std::runtime_error);
  CHECK(cache.pending_bytes() == 0);
  CHECK(cache.save().empty());
  const PackedWeights weights = cache.get_later("a", "w", 10, 3, numbers(10, 3));
  cache.finish(alone);
  CHECK(are_numbers(weights, 10));
}

}  // namespace
}  // namespace plica
