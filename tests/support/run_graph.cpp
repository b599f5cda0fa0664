#include "tests/support/run_graph.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "engine/base/thread_pool.h"
#include "engine/plan/executor.h"

namespace plica::test {

std::vector<Array> run_planned(const Graph& graph, const std::vector<Array>& inputs,
                               const PlanOptions& options) {
  PackCache cache;
  std::vector<Shape> shapes;
  std::vector<std::vector<float>> in, out;
  std::vector<const float*> in_pointers;
  std::vector<float*> out_pointers;
  for (const Array& input : inputs) {
    shapes.push_back(input.shape);
    in.emplace_back(input.data.begin(), input.data.end());
  }
  for (const auto& input : in) in_pointers.push_back(input.data());
  Executor executor;
  executor.bind(std::make_shared<Plan>(make_plan(graph, shapes, cache, options)));
  const Plan& plan = executor.plan();
  CHECK(plan.arena_bytes >= plan.arena_lower_bound);
  CHECK(10 * plan.arena_bytes <= 11 * plan.arena_lower_bound);
  for (const Shape& shape : plan.output_shapes) {
    out.emplace_back(static_cast<size_t>(element_count(shape)),
                     std::numeric_limits<float>::quiet_NaN());
  }
  for (auto& output : out) out_pointers.push_back(output.data());
  ThreadPool::instance().reserve(options.threads);
  executor.run(in_pointers.data(), out_pointers.data(), options.threads);
  std::vector<Array> outputs;
  for (size_t i = 0; i < out.size(); ++i) {
    outputs.push_back({plan.output_shapes[i], {out[i].begin(), out[i].end()}});
  }
  return outputs;
}

Array random_array(const Shape& shape, uint32_t seed, double lo, double hi) {
  std::mt19937 random(seed);
  Array array{shape, std::vector<double>(static_cast<size_t>(element_count(shape)))};
  for (double& x : array.data) {
    x = static_cast<float>(lo + (hi - lo) * (static_cast<double>(random()) / 4294967296.0));
  }
  return array;
}

double relative_error(const Array& a, const Array& b) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (a.shape != b.shape) return kInfinity;
  double error = 0, largest = 0;
  for (size_t i = 0; i < a.data.size(); ++i) {
    const double x = a.data[i], y = b.data[i];
    if (std::isnan(x) || std::isnan(y)) {
      if (std::isnan(x) != std::isnan(y)) return kInfinity;
    } else if (std::isinf(x) || std::isinf(y)) {
      if (x != y) return kInfinity;
    } else {
      error = std::max(error, std::fabs(x - y));
      largest = std::max(largest, std::fabs(y));
    }
  }
  return largest > 0 ? error / largest : error;
}

}  // namespace plica::test
