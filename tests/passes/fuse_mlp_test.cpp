#include <catch2/catch_test_macros.hpp>

#include "engine/ops/linear.h"
#include "engine/ops/mlp.h"
#include "engine/passes/passes.h"
#include "tests/support/run_graph.h"

namespace plica {
namespace {

Value* add_linear(Graph& graph, Value* x, int64_t out, bool bias, Linear::Attributes attributes,
                  const std::string& name) {
  const int64_t in = x->shape.back();
  const Shape shape = attributes.weight_is_kn ? Shape{in, out} : Shape{out, in};
  attributes.has_bias = bias;
  const auto seed = static_cast<uint32_t>(graph.values().size());
  std::vector<Value*> inputs{
      x, graph.add_constant(name + ".weight",
                            Constant::from_doubles(shape, test::random_array(shape, seed).data))};
  if (bias) {
    inputs.push_back(graph.add_constant(
        name + ".bias", Constant::from_doubles({out}, test::random_array({out}, seed + 1).data)));
  }
  Node* node = graph.add_node(name, std::make_unique<Linear>(attributes), inputs, {name});
  set_shapes(graph);
  return node->outputs[0];
}

struct Chain {
  Graph graph;
  Value* x = graph.add_input("x", {Dim(5), Dim(7)});
  Value* a = add_linear(graph, x, 12, true, {}, "a");
  Value* b = add_linear(graph, a, 9, false, {.weight_is_kn = true}, "b");
  Value* c = add_linear(graph, b, 3, true, {}, "c");
};

size_t fuse(Graph& graph) {
  FoldLog log;
  fuse_mlp(graph, log);
  graph.verify();
  return graph.nodes().size();
}

TEST_CASE("a chain of linear layers becomes one mlp", "[mlp]") {
  Chain chain;
  chain.a->producer->op->epilogue()->activation = relu();
  chain.graph.add_output(chain.c);
  const Array x = test::random_array({5, 7}, 1);
  const Array before = evaluate(chain.graph, {x})[0];
  CHECK(fuse(chain.graph) == 1);
  CHECK(chain.graph.outputs()[0]->name == "c");
  CHECK(test::relative_error(evaluate(chain.graph, {x})[0], before) < 1e-14);
  CHECK(test::relative_error(test::run_planned(chain.graph, {x})[0], before) < 1e-6);
}

TEST_CASE("layers that something else reads stay apart", "[mlp]") {
  Chain chain;
  chain.graph.add_output(chain.c);
  SECTION("an output of the graph") {
    chain.graph.add_output(chain.b);
    CHECK(fuse(chain.graph) == 2);
  }
  SECTION("a second reader") {
    chain.graph.add_output(add_linear(chain.graph, chain.a, 2, true, {}, "d"));
    CHECK(fuse(chain.graph) == 3);
  }
}

TEST_CASE("layers that are more than a layer stay apart", "[mlp]") {
  Chain chain;
  chain.graph.add_output(chain.c);
  chain.b->producer->op->epilogue()->affine =
      Affine{std::vector<double>(9, 2.0), std::vector<double>(9, 1.0)};
  CHECK(fuse(chain.graph) == 3);
}

}  // namespace
}  // namespace plica
