#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "engine/base/fail.h"
#include "engine/graph/add_operator.h"
#include "engine/graph/reference.h"
#include "engine/passes/pipeline.h"
#include "tests/support/run_graph.h"

namespace plica {
namespace {

/// x, its maxima and where they are.
struct Pooled {
  explicit Pooled(std::vector<Dim> dims, int64_t kernel = 2) {
    graph.symbols["n"] = {1, 64};
    graph.add_input("x", std::move(dims));
    add("aten.max_pool2d_with_indices.default",
        {{"self", TensorRef{"x"}}, {"kernel_size", std::vector<Dim>{kernel}}},
        {"values", "indices"});
  }
  void add(const std::string& target, const Args& args, const std::vector<std::string>& outputs) {
    add_operator(graph, OpRegistry::instance(), outputs[0], target, args, outputs);
  }
  void unpool(const std::string& values, int64_t height, int64_t width) {
    add("aten.max_unpool2d.default",
        {{"self", TensorRef{values}},
         {"indices", TensorRef{"indices"}},
         {"output_size", std::vector<Dim>{height, width}}},
        {"y"});
    graph.add_output(graph.find("y"));
  }
  /// The message with which the graph is refused, or "".
  std::string refusal() {
    try {
      run_passes(graph, {});
    } catch (const Error& error) {
      return error.message();
    }
    return "";
  }
  Graph graph;
};

TEST_CASE("max_unpool puts maxima where they were", "[pool]") {
  for (const int64_t channels : {1, 3, 16, 19, 40}) {
    for (const bool batched : {true, false}) {
      std::vector<Dim> dims{Dim(channels), 6, 7};
      Shape shape{channels, 6, 7};
      if (batched) {
        dims.insert(dims.begin(), Dim::symbol("n"));
        shape.insert(shape.begin(), 3);
      }
      Pooled net(dims);
      net.add("aten.mul.Scalar", {{"self", TensorRef{"values"}}, {"other", -2.0}}, {"scaled"});
      net.unpool("scaled", 6, 7);
      REQUIRE(net.refusal().empty());
      Array x = test::random_array(shape, 5);
      x.data[4] = x.data[12] = NAN;
      x.data[1] = x.data[0];
      const Array expected = evaluate(net.graph, {x})[0];
      const Array y = test::run_planned(net.graph, {x})[0];
      CHECK(test::relative_error(y, expected) == 0);
    }
  }
}

TEST_CASE("indices of maxima are for max_unpool alone", "[pool][malformed]") {
  const std::vector<Dim> dims{Dim::symbol("n"), 3, 6, 8};
  const auto mentions = [](const std::string& text, const std::string& part) {
    INFO(text);
    return text.find(part) != std::string::npos;
  };
  Pooled output(dims);
  output.graph.add_output(output.graph.find("indices"));
  CHECK(mentions(output.refusal(), "other operators than max_unpool"));
  Pooled arithmetic(dims);
  arithmetic.add("aten.relu.default", {{"self", TensorRef{"indices"}}}, {"y"});
  arithmetic.graph.add_output(arithmetic.graph.find("y"));
  CHECK(mentions(arithmetic.refusal(), "other operators than max_unpool"));
  Pooled beyond(dims);
  beyond.unpool("values", 6, 7);
  CHECK(mentions(beyond.refusal(), "beyond"));
  Pooled larger(dims);
  larger.unpool("values", 7, 8);
  CHECK(larger.refusal().empty());
  Pooled negative(dims);
  negative.unpool("values", -6, 8);
  CHECK(mentions(negative.refusal(), "size -6"));
  Pooled data(dims);
  data.add("aten.max_unpool2d.default",
           {{"self", TensorRef{"values"}},
            {"indices", TensorRef{"values"}},
            {"output_size", std::vector<Dim>{6, 8}}},
           {"y"});
  data.graph.add_output(data.graph.find("y"));
  CHECK(mentions(data.refusal(), "not the indices"));
}

TEST_CASE("indices must be exact as floats", "[pool][malformed]") {
  Pooled net({1, 1, 4097, 4096});
  net.unpool("values", 4097, 4096);
  REQUIRE(net.refusal().empty());
  CHECK_THROWS_AS(test::run_planned(net.graph, {test::random_array({1, 1, 4097, 4096}, 1)}), Error);
}

}  // namespace
}  // namespace plica
