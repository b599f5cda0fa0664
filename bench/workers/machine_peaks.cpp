// What the processor can do at most: fused multiply-adds from registers, and reading from L2 and
// from memory, for 1 to N threads at once.
//
//   machine_peaks [THREADS]      prints JSON

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "engine/kernels/peak.h"

namespace plica::bench {
namespace {

constexpr double kSeconds = 0.15;
constexpr int kAttempts = 5;
constexpr size_t kL2Floats = size_t{384} * 1024 / sizeof(float);
constexpr size_t kMemoryFloats = size_t{256} * 1024 * 1024 / sizeof(float);

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Sum over threads of the work per second that `step` returns, all at once; the best of several.
template <typename Step>
double rate(int threads, const Step& step) {
  double best = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::atomic<int> waiting{threads};
    std::vector<double> rates(static_cast<size_t>(threads));
    std::vector<std::thread> team;
    for (int t = 0; t < threads; ++t)
      team.emplace_back([&, t] {
        step(t);
        waiting.fetch_sub(1);
        while (waiting.load() > 0) {
        }
        const double start = now();
        double work = 0, end = start;
        while (end - start < kSeconds) {
          work += step(t);
          end = now();
        }
        rates[static_cast<size_t>(t)] = work / (end - start);
      });
    for (std::thread& thread : team) thread.join();
    double sum = 0;
    for (const double value : rates) sum += value;
    best = std::max(best, sum);
  }
  return best;
}

void print_rates(int threads, std::vector<std::vector<float>>& memory) {
  std::vector<std::vector<float>> sinks(static_cast<size_t>(threads),
                                        {0.5f, 0.25f, 0.75f, 1e-3f, 0.0f});
  const auto at = [](auto& all, int t) -> auto& { return all[static_cast<size_t>(t)]; };
  const double fma =
      rate(threads, [&](int t) { return multiply_add_operations(20000, at(sinks, t).data()); });
  const auto reader = [&](size_t count) {
    return rate(threads, [&, count](int t) {
      at(sinks, t)[4] += read_floats(at(memory, t).data(), count);
      return static_cast<double>(count * sizeof(float));
    });
  };
  const double l2 = reader(kL2Floats), dram = reader(kMemoryFloats);
  std::printf("{\"threads\": %d, \"gflops\": %.1f, \"l2_gbs\": %.1f, \"memory_gbs\": %.1f}",
              threads, fma * 1e-9, l2 * 1e-9, dram * 1e-9);
}

}  // namespace
}  // namespace plica::bench

int main(int argc, char** argv) {
  using namespace plica::bench;
  const int most = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  std::vector<std::vector<float>> memory(static_cast<size_t>(most),
                                         std::vector<float>(kMemoryFloats, 1.0f));
  std::printf("{\"target\": \"%s\", \"peaks\": [", plica::peak_target());
  for (int threads = 1; threads <= most; ++threads) {
    if (threads > 1) std::printf(", ");
    print_rates(threads, memory);
  }
  std::printf("]}\n");
}
