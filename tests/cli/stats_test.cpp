#include "tools/plica/stats.h"

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "plica/error.h"
#include "tools/plica/bench_baseline.h"

namespace plica::cli {
namespace {

using nlohmann::json;

std::vector<double> normal(double mean, size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> distribution(mean, 0.05);
  std::vector<double> values;
  for (size_t i = 0; i < count; ++i) values.push_back(distribution(random));
  return values;
}

TEST_CASE("the rank test counts pairs", "[cli]") {
  const std::vector<double> before = {1, 2, 3, 4, 5, 6, 7, 8, 17},
                            now = {9, 10, 11, 12, 13, 14, 15, 16, 0};
  // 64 of the 81 pairs are larger now, none are equal.
  const double z = (64 - 40.5 - 0.5) / std::sqrt(81.0 * 19 / 12);
  CHECK(rank_test(before, now) == Catch::Approx(0.5 * std::erfc(z / std::sqrt(2.0))));
}

TEST_CASE("the rank test sees a shift and not chance", "[cli]") {
  CHECK(rank_test(normal(1, 40, 1), normal(1.1, 40, 2)) < 1e-6);
  CHECK(rank_test(normal(1.1, 40, 1), normal(1, 40, 2)) > 0.99);
  int found = 0;
  for (unsigned seed = 0; seed < 1000; ++seed)
    found += rank_test(normal(1, 40, 2 * seed), normal(1, 40, 2 * seed + 1)) < 0.05;
  // Binomial(1000, 0.05): four standard deviations are 28.
  CHECK(found > 22);
  CHECK(found < 78);
}

TEST_CASE("the rank test of nothing, or of equal values, finds nothing", "[cli]") {
  CHECK(rank_test({}, {}) == 1);
  const std::vector<double> equal(5, 1.0);
  CHECK(rank_test(equal, equal) == 1);
}

TEST_CASE("a percentile's interval covers it in 95 % of all samples", "[cli]") {
  int covered = 0;
  for (unsigned seed = 0; seed < 500; ++seed) {
    Latencies times;
    for (const double value : normal(1, 200, seed)) times.add(value);
    const Interval interval = times.percentile_interval(0.5);
    covered += interval.low <= 1 && 1 <= interval.high;
  }
  // Four standard deviations below 475 are 455; the ranks are rounded outwards.
  CHECK(covered > 455);
  Latencies few;
  few.add(2);
  few.add(1);
  CHECK(few.percentile_interval(0.999).low == 1);
  CHECK(std::isinf(few.percentile_interval(0.999).high));
  CHECK(Latencies().percentile_interval(0.5).high == 0);
}

TEST_CASE("blocks follow the order of time", "[cli]") {
  Latencies times;
  for (int i = 0; i < 9; ++i) times.add(i);
  CHECK(times.block_medians(3) == std::vector<double>{1, 4, 7});
  CHECK(times.block_medians(100).size() == 9);
  CHECK(Latencies().block_medians(4).empty());
}

TEST_CASE("a histogram counts every value of its range once", "[cli]") {
  Latencies times;
  for (int i = 0; i <= 100; ++i) times.add(i);
  CHECK(times.histogram({0, 100}, 4) == std::vector<size_t>{25, 25, 25, 26});
  CHECK(times.histogram({50, 59}, 3) == std::vector<size_t>{3, 3, 4});
  CHECK(times.histogram({7, 7}, 2) == std::vector<size_t>{1, 0});
  CHECK(Latencies().histogram({0, 1}, 2) == std::vector<size_t>{0, 0});
}

TEST_CASE("the tail goes from the smallest to the largest value", "[cli]") {
  Latencies times;
  for (int i = 1000; i > 0; --i) times.add(i);
  const auto points = times.tail();
  REQUIRE(points.size() == 32);
  CHECK(points.front() == std::pair<double, double>{0, 1});
  CHECK(points[10].first == Catch::Approx(0.9));
  CHECK(points[10].second == Catch::Approx(900).margin(1));
  CHECK(points.back().first == Catch::Approx(1 - 1e-3).margin(1e-5));
  CHECK(points.back().second == 1000);
  CHECK(Latencies().tail().empty());
}

json result(double median) {
  return {{"model", "m"},
          {"input_shapes", {{1, 2}}},
          {"threads", 1},
          {"block_medians", normal(median, 40, static_cast<unsigned>(1000 * median))}};
}

TEST_CASE("only a slowdown beyond the tolerance is a regression", "[cli]") {
  CHECK(compare_with_baseline(result(1.2), result(1), 0.03).regression);
  CHECK_FALSE(compare_with_baseline(result(1.2), result(1), 0.5).regression);
  CHECK_FALSE(compare_with_baseline(result(1), result(1.2), 0.03).regression);
  CHECK(compare_with_baseline(result(1), result(1.2), 0.03).text.find("faster") == 0);
  CHECK(compare_with_baseline(result(1), result(1), 0.03).text.find("no difference") == 0);
}

TEST_CASE("a baseline of something else is refused", "[cli]") {
  json other = result(1);
  other["threads"] = 2;
  CHECK_THROWS_AS(compare_with_baseline(result(1), other, 0.03), Error);
  for (const json& broken : {json(), json{{"block_medians", {"x"}}}, json{{"block_medians", 3}}}) {
    json baseline = result(1);
    baseline["block_medians"] = broken.is_null() ? json() : broken["block_medians"];
    CHECK_THROWS_AS(compare_with_baseline(result(1), baseline, 0.03), Error);
  }
}

}  // namespace
}  // namespace plica::cli
