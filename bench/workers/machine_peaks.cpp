// What the processor can do at most: fused multiply-adds from registers, and reading from L2 and
// from memory, for 1 to N threads at once.
//
//   machine_peaks [THREADS]      prints JSON

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "engine/kernels/measure_peaks.h"
#include "engine/kernels/peak.h"

int main(int argc, char** argv) {
  constexpr int kAttempts = 300;
  const int most = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  std::printf("{\"target\": \"%s\", \"peaks\": [", plica::peak_target());
  for (int threads = 1; threads <= most; ++threads) {
    const plica::Peaks peaks = plica::measure_peaks(threads, kAttempts);
    std::printf("%s{\"threads\": %d, \"gflops\": %.1f, \"l2_gbs\": %.1f, \"memory_gbs\": %.1f}",
                threads > 1 ? ", " : "", threads, peaks.flops * 1e-9, peaks.l2_bytes * 1e-9,
                peaks.memory_bytes * 1e-9);
  }
  std::printf("]}\n");
}
