#include "engine/ops/mlp.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <limits>

#include "engine/base/thread_pool.h"
#include "engine/graph/graph.h"
#include "hwy/targets.h"
#include "tests/support/run_graph.h"

namespace plica {
namespace {

Graph network(const std::vector<int64_t>& sizes, const Pointwise& activation) {
  std::vector<Mlp::Layer> layers;
  for (size_t i = 1; i < sizes.size(); ++i) {
    const Shape shape{sizes[i], sizes[i - 1]};
    const auto seed = static_cast<uint32_t>(i);
    layers.push_back({Constant::from_doubles(shape, test::random_array(shape, seed).data),
                      test::random_array({sizes[i]}, seed + 50).data,
                      i + 1 < sizes.size() ? activation : Pointwise{}});
  }
  Graph graph;
  Value* x = graph.add_input("x", {Dim::symbol("n"), sizes[0]});
  graph.symbols["n"] = {0, 1000};
  graph.add_output(graph.add_node("y", std::make_unique<Mlp>(layers), {x}, {"y"})->outputs[0]);
  set_shapes(graph);
  return graph;
}

TEST_CASE("mlp equals the reference on every target and for every row count", "[mlp]") {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    for (const std::vector<int64_t>& sizes :
         std::vector<std::vector<int64_t>>{{2, 64, 32, 2},
                                           {1, 1},
                                           {5, 17, 3},
                                           {784, 100, 10},
                                           {3, 129, 65, 31, 16},
                                           {22, 24, 28, 5, 9, 13}}) {
      for (const Pointwise& activation :
           {relu(), Pointwise{Pointwise::kSigmoid}, Pointwise{Pointwise::kLeakyRelu, 0.1}}) {
        const Graph graph = network(sizes, activation);
        for (const int64_t rows : {0, 1, 3, 4, 5, 37}) {
          const Array x = test::random_array({rows, sizes[0]}, 9);
          const Array expected = evaluate(graph, {x})[0];
          const Array found = test::run_planned(graph, {x})[0];
          // Each layer's rounding grows with the square root of its length.
          CHECK(test::relative_error(found, expected) < 2e-6);
        }
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST_CASE("a row of an mlp has the same bits alone, in a batch, and on two threads", "[mlp]") {
  ThreadPool::instance().reserve(2);
  const int64_t outputs = GENERATE(5, 11, 16, 20);
  const Graph graph = network({7, 33, 19, outputs}, Pointwise{Pointwise::kTanh});
  const Array batch = test::random_array({50, 7}, 3);
  PlanOptions two;
  two.threads = 2;
  const Array together = test::run_planned(graph, {batch}, two)[0];
  for (int64_t row = 0; row < 50; ++row) {
    const Array one{{1, 7}, {batch.data.begin() + row * 7, batch.data.begin() + row * 7 + 7}};
    const Array alone = test::run_planned(graph, {one})[0];
    for (int64_t i = 0; i < outputs; ++i) {
      REQUIRE(alone.data[static_cast<size_t>(i)] ==
              together.data[static_cast<size_t>(row * outputs + i)]);
    }
  }
}

TEST_CASE("relu inside an mlp keeps NaN", "[mlp]") {
  const Graph graph = network({2, 3, 1}, relu());
  Array x{{1, 2}, {std::numeric_limits<double>::quiet_NaN(), 1}};
  CHECK(test::run_planned(graph, {x})[0].data[0] != test::run_planned(graph, {x})[0].data[0]);
}

}  // namespace
}  // namespace plica
