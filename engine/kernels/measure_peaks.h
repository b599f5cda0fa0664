#pragma once

namespace plica {

/// What all threads together reach, per second.
struct Peaks {
  double flops = 0;         ///< Fused multiply-adds on registers, two operations each.
  double l2_bytes = 0;      ///< Reading from the second level of the cache.
  double memory_bytes = 0;  ///< Reading from memory.
};

/// Measures the roofs of a roofline on `threads` threads: each the best of so many attempts, which
/// take a millisecond. Takes 256 MB of memory, more for many threads; throws std::bad_alloc.
Peaks measure_peaks(int threads, int attempts);

}  // namespace plica
