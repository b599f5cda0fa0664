#include "engine/kernels/peak.h"

#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "engine/kernels/measure_peaks.h"

namespace plica {
namespace {

TEST_CASE("the peak counts the operations that it does", "[kernels]") {
  float numbers[] = {0.5f, 0.25f, 0.75f, 1e-3f, -1.0f};
  const double once = multiply_add_operations(1, numbers);
  CHECK(once > 0);
  CHECK(numbers[4] > 0);
  CHECK(multiply_add_operations(1000, numbers) == 1000 * once);
}

TEST_CASE("reading sums whole groups of vectors", "[kernels]") {
  const std::vector<float> ones(4096, 1.0f);
  CHECK(read_floats(ones.data(), ones.size()) == 4096.0f);
  CHECK(read_floats(ones.data(), 0) == 0.0f);
}

TEST_CASE("roofs are measured on one thread and on several", "[kernels]") {
  for (const int threads : {1, 2}) {
    const Peaks peaks = measure_peaks(threads, 2);
    CHECK(peaks.flops > 1e6);
    CHECK(peaks.l2_bytes > 1e6);
    CHECK(peaks.memory_bytes > 1e6);
  }
}

}  // namespace
}  // namespace plica
