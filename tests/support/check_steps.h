#pragma once

#include <catch2/catch_test_macros.hpp>
#include <string_view>

#include "tests/support/net.h"

namespace plica::test {

/// Makes `output` the graph's and plans it for batches of 1 and 3: compares with float64, and the
/// bits of 1 to 3 threads, with and without chains of rows, with those of steps run one by one.
inline void check_steps(Net& net, const Value* x, Value* output) {
  net.graph.add_output(output);
  run_passes(net.graph, {});
  for (const int64_t n : {1, 3}) {
    Shape shape = x->shape;
    shape[0] = n;
    const std::vector<Array> inputs = {random_array(shape, 5)};
    const Array expected = run_planned(net.graph, inputs, PlanOptions{.keep_values = true})[0];
    CHECK(relative_error(expected, evaluate(net.graph, inputs)[0]) < 2e-6);
    for (const int threads : {1, 2, 3}) {
      CAPTURE(n, threads);
      PlanOptions options{.threads = threads};
      CHECK(run_planned(net.graph, inputs, options)[0].data == expected.data);
      options.chains = {.min_tensor_bytes = 1, .max_band_bytes = 20'000, .min_band_pixels = 1};
      CHECK(run_planned(net.graph, inputs, options)[0].data == expected.data);
    }
  }
}

/// Steps of the plan for a batch of `n` whose kernel's name contains `text`.
inline int count_steps(const Graph& graph, Shape shape, int64_t n, std::string_view text) {
  shape[0] = n;
  PackCache cache;
  int count = 0;
  for (const Step& step : make_plan(graph, {shape}, cache, {}).steps) {
    count += step.kernel_name.find(text) != std::string::npos;
  }
  return count;
}

}  // namespace plica::test
