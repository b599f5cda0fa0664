#include <catch2/catch_test_macros.hpp>

#include "engine/ops/pointwise.h"
#include "engine/passes/passes.h"
#include "tests/support/run_graph.h"

namespace plica {
namespace {

const Pointwise kRelu = relu(), kRelu6{Pointwise::kClamp, 0, 6};

/// Three functions of one value, each the input of an elementwise one whose result is an output.
struct Branches {
  Graph graph;
  Value* x = graph.add_input("x", {Dim(2), Dim(3), Dim(5)});

  Value* add(const std::string& name, const Pointwise& f, Value* of) {
    return graph.add_node(name, std::make_unique<PointwiseOp>(f), {of}, {name})->outputs[0];
  }
  size_t merge() {
    set_shapes(graph);
    FoldLog log;
    merge_functions(graph, log);
    graph.verify();
    return graph.nodes().size();
  }
};

TEST_CASE("a function of one value is computed once", "[passes]") {
  Branches b;
  const Pointwise then[] = {{Pointwise::kTanh}, {Pointwise::kExp}, {Pointwise::kSquare}};
  for (const Pointwise& f : then) {
    const std::string name(plica::name(f.kind));
    b.graph.add_output(b.add(name, f, b.add("relu_" + name, kRelu, b.x)));
  }
  set_shapes(b.graph);
  const Array x = test::random_array({2, 3, 5}, 1);
  const std::vector<Array> before = evaluate(b.graph, {x});
  CHECK(b.merge() == 4);
  const std::vector<Array> after = evaluate(b.graph, {x});
  for (size_t i = 0; i < before.size(); ++i) CHECK(after[i].data == before[i].data);
}

TEST_CASE("other functions, functions of other values and outputs are kept", "[passes]") {
  Branches b;
  Value* const first = b.add("first", kRelu, b.x);
  SECTION("another parameter") {
    b.graph.add_output(b.add("tanh", {Pointwise::kTanh}, b.add("second", kRelu6, b.x)));
  }
  SECTION("another value") {
    Value* const y = b.graph.add_input("y", {Dim(2), Dim(3), Dim(5)});
    b.graph.add_output(b.add("tanh", {Pointwise::kTanh}, b.add("second", kRelu, y)));
  }
  SECTION("an output, which keeps its name") {
    b.graph.add_output(b.add("second", kRelu, b.x));
    b.add("tanh", {Pointwise::kTanh}, b.x);
  }
  b.graph.add_output(first);
  CHECK(b.merge() == 3);
}

TEST_CASE("what becomes equal by merging is merged", "[passes]") {
  Branches b;
  for (const char* name : {"a", "b"}) {
    Value* const relu = b.add(std::string("relu_") + name, kRelu, b.x);
    Value* const tanh = b.add(std::string("tanh_") + name, {Pointwise::kTanh}, relu);
    b.graph.add_output(b.add(name, {name[0] == 'a' ? Pointwise::kExp : Pointwise::kAbs}, tanh));
  }
  CHECK(b.merge() == 4);
}

}  // namespace
}  // namespace plica
