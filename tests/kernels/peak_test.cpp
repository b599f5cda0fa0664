#include "engine/kernels/peak.h"

#include <catch2/catch_test_macros.hpp>
#include <vector>

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

}  // namespace
}  // namespace plica
