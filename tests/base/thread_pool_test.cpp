#include "engine/base/thread_pool.h"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <thread>
#include <vector>

namespace plica {
namespace {

TEST_CASE("every task runs exactly once, whatever the team", "[threads]") {
  ThreadPool::instance().reserve(4);
  for (int threads = 1; threads <= 4; ++threads) {
    for (const int64_t count : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
      std::vector<std::atomic<int>> busy(static_cast<size_t>(threads));
      std::atomic<bool> overlapped{false};
      ThreadPool::Lease team(threads);
      team.for_each(count, [&](int64_t task, int worker) {
        if (busy[static_cast<size_t>(worker)].fetch_add(1) != 0) overlapped = true;
        runs[static_cast<size_t>(task)].fetch_add(1);
        busy[static_cast<size_t>(worker)].fetch_sub(1);
      });
      for (const auto& run : runs) CHECK(run == 1);
      CHECK(!overlapped);
    }
  }
}

TEST_CASE("jobs of different sizes in quick succession do not lose tasks", "[threads]") {
  ThreadPool::instance().reserve(4);
  std::atomic<int64_t> sum{0};
  int64_t expected = 0;
  for (int round = 0; round < 3000; ++round) {
    ThreadPool::Lease team(1 + round % 4);
    const int64_t count = round % 9;
    team.for_each(count, [&](int64_t task, int) { sum += task; });
    expected += count * (count - 1) / 2;
  }
  CHECK(sum == expected);
}

TEST_CASE("a lease that finds the workers taken works alone", "[threads]") {
  ThreadPool::instance().reserve(2);
  const ThreadPool::Lease first(2);
  CHECK(first.size() == 2);
  const ThreadPool::Lease second(2);
  CHECK(second.size() == 1);
}

TEST_CASE("several callers share the pool", "[threads]") {
  ThreadPool::instance().reserve(3);
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        ThreadPool::Lease team(3);
        team.for_each(10, [&](int64_t, int) { sum.fetch_add(1); });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(sum == 3 * 500 * 10);
}

TEST_CASE("denormals are flushed inside and kept outside", "[threads]") {
  volatile float small = std::numeric_limits<float>::min();
  {
    const FlushDenormals flush;
#if defined(__x86_64__)
    CHECK(small * 0.5f == 0.0f);
#endif
  }
  CHECK(small * 0.5f > 0.0f);
}

TEST_CASE("there is at least one CPU") { CHECK(available_cpus() >= 1); }

}  // namespace
}  // namespace plica
