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

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/workers/machine_peaks.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace plica::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Two units with a latency of four cycles need eight accumulators; the more, the smaller the part
// of the loop's own instructions. With the sources they must fit the registers.
constexpr int kAccumulators = HWY_TARGET <= HWY_AVX3 ? 24 : 12;

/// Returns the floating-point operations done.
double multiply_add(int64_t iterations, float* sink) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const V a[3] = {hn::Set(d, sink[0]), hn::Set(d, sink[1]), hn::Set(d, sink[2])};
  const V b = hn::Set(d, sink[3]);
  V sums[kAccumulators];
#pragma GCC unroll 24
  for (int i = 0; i < kAccumulators; ++i) sums[i] = hn::Set(d, sink[i % 4]);
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < kAccumulators; ++i) sums[i] = hn::MulAdd(a[i % 3], b, sums[i]);
  }
  V total = hn::Zero(d);
#pragma GCC unroll 24
  for (int i = 0; i < kAccumulators; ++i) total = hn::Add(total, sums[i]);
  sink[4] = hn::ReduceSum(d, total);
  return 2.0 * kAccumulators * static_cast<double>(hn::Lanes(d)) * static_cast<double>(iterations);
}

float read(const float* data, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  for (size_t i = 0; i + 8 * lanes <= count; i += 8 * lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, data + i));
    s1 = hn::Add(s1, hn::LoadU(d, data + i + lanes));
    s2 = hn::Add(s2, hn::LoadU(d, data + i + 2 * lanes));
    s3 = hn::Add(s3, hn::LoadU(d, data + i + 3 * lanes));
    s4 = hn::Add(s4, hn::LoadU(d, data + i + 4 * lanes));
    s5 = hn::Add(s5, hn::LoadU(d, data + i + 5 * lanes));
    s6 = hn::Add(s6, hn::LoadU(d, data + i + 6 * lanes));
    s7 = hn::Add(s7, hn::LoadU(d, data + i + 7 * lanes));
  }
  const auto sum =
      hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), hn::Add(hn::Add(s4, s5), hn::Add(s6, s7)));
  return hn::ReduceSum(d, sum);
}

const char* instruction_set() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace plica::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plica::bench {
namespace {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read);
HWY_EXPORT(instruction_set);

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
  const double fma = rate(threads, [&](int t) {
    return HWY_DYNAMIC_DISPATCH(multiply_add)(20000, at(sinks, t).data());
  });
  const auto reader = [&](size_t count) {
    return rate(threads, [&, count](int t) {
      at(sinks, t)[4] += HWY_DYNAMIC_DISPATCH(read)(at(memory, t).data(), count);
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
  std::printf("{\"target\": \"%s\", \"peaks\": [", HWY_DYNAMIC_DISPATCH(instruction_set)());
  for (int threads = 1; threads <= most; ++threads) {
    if (threads > 1) std::printf(", ");
    print_rates(threads, memory);
  }
  std::printf("]}\n");
}
#endif  // HWY_ONCE
