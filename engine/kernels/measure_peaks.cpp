#include "engine/kernels/measure_peaks.h"

#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <span>
#include <thread>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/kernels/peak.h"

namespace plica {
namespace {

/// So short that some attempts are not interrupted on a machine that does something else as well.
constexpr double kAttemptSeconds = 1e-3;
/// Much more than the last level of the cache holds, of one thread or of all.
constexpr size_t kMemoryBytes = size_t{256} << 20, kMinMemoryBytes = size_t{32} << 20;

/// Three quarters of the second-level cache leave room for what else is there; two threads of a
/// core share it.
size_t l2_working_set() {
  constexpr size_t kUsual = size_t{384} << 10;
  const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return size > 0 ? std::min(kUsual, static_cast<size_t>(size) / 4 * 3) : kUsual;
}

/// What step(thread) returns, summed over all steps of all threads at once, per second from the
/// start of the first to the end of the last; the best of a few attempts. Each thread calls
/// prepare(thread) first.
template <typename Prepare, typename Step>
double rate(int threads, int attempts, const Prepare& prepare, const Step& step) {
  using Clock = std::chrono::steady_clock;
  struct alignas(64) Part {
    Clock::time_point start, end;
    double work = 0;
  };
  std::vector<Part> parts(static_cast<size_t>(threads));
  std::barrier together(threads);
  double best = 0;
  const auto measure = [&](int t) {
    prepare(t);
    step(t);
    Part& part = parts[static_cast<size_t>(t)];
    for (int attempt = 0; attempt < attempts; ++attempt) {
      together.arrive_and_wait();
      part = {Clock::now(), {}, 0};
      do {
        part.work += step(t);
        part.end = Clock::now();
      } while (std::chrono::duration<double>(part.end - part.start).count() < kAttemptSeconds);
      together.arrive_and_wait();
      if (t > 0) continue;
      Part whole = part;
      for (const Part& other : std::span(parts).subspan(1)) {
        whole.start = std::min(whole.start, other.start);
        whole.end = std::max(whole.end, other.end);
        whole.work += other.work;
      }
      const std::chrono::duration<double> elapsed = whole.end - whole.start;
      best = std::max(best, whole.work / std::max(elapsed.count(), 1e-9));
    }
  };
  std::vector<std::jthread> team;
  for (int t = 1; t < threads; ++t) team.emplace_back(measure, t);
  measure(0);
  team.clear();
  return best;
}

/// Bytes per second of reading `bytes_each` again and again.
double reading_rate(int threads, int attempts, size_t bytes_each) {
  // One step shall not take longer than an attempt.
  constexpr size_t kPart = size_t{384} * 1024 / sizeof(float);
  const size_t count = bytes_each / sizeof(float), part = std::min(kPart, count);
  struct alignas(64) Reader {
    AlignedBuffer memory;  // Loads across two cache lines would halve the rate of L2.
    size_t position = 0;
    float sum = 0;
  };
  std::vector<Reader> readers(static_cast<size_t>(threads));
  for (Reader& reader : readers) reader.memory = AlignedBuffer(bytes_each);
  // Pages lie near the thread that touches them first.
  const auto touch = [&](int t) {
    std::fill_n(readers[static_cast<size_t>(t)].memory.floats(), count, 1.0f);
  };
  return rate(threads, attempts, touch, [&](int t) {
    Reader& reader = readers[static_cast<size_t>(t)];
    if (reader.position + part > count) reader.position = 0;
    reader.sum += read_floats(reader.memory.floats() + reader.position, part);
    reader.position += part;
    return static_cast<double>(part * sizeof(float));
  });
}

}  // namespace

Peaks measure_peaks(int threads, int attempts) {
  constexpr int64_t kIterations = 5'000;
  struct alignas(64) Operands {
    float numbers[5] = {0.5f, 0.25f, 0.75f, 1e-3f, 0.0f};
  };
  std::vector<Operands> operands(static_cast<size_t>(threads));
  Peaks peaks;
  peaks.flops = rate(
      threads, attempts, [](int) {},
      [&](int t) {
        return multiply_add_operations(kIterations, operands[static_cast<size_t>(t)].numbers);
      });
  peaks.l2_bytes = reading_rate(threads, attempts, l2_working_set());
  peaks.memory_bytes = reading_rate(
      threads, attempts, std::max(kMinMemoryBytes, kMemoryBytes / static_cast<size_t>(threads)));
  return peaks;
}

}  // namespace plica
