#include "engine/loader/build_graph.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "engine/graph/reference.h"

#include "tests/loader/model_files.h"

namespace plica {
namespace {

/// Adds `amount` to its first input; the shape stays.
class AddOp final : public Op {
 public:
  AddOp(double amount, size_t outputs) : amount_(amount), outputs_(outputs) {}
  std::string_view name() const override { return "test_add"; }
  std::vector<Shape> infer_shapes(std::span<const Shape> inputs, const Bindings&) const override {
    return std::vector<Shape>(outputs_, inputs[0]);
  }
  void evaluate(std::span<const Array* const> inputs, std::span<Array> outputs,
                const Bindings&) const override {
    for (Array& out : outputs) {
      for (size_t i = 0; i < out.data.size(); ++i) out.data[i] = inputs[0]->data[i] + amount_;
    }
  }
  void plan(StepBuilder&) const override {}

 private:
  double amount_;
  size_t outputs_;
};

OpRegistry test_registry() {
  OpRegistry registry;
  registry.add({"aten.add.Tensor"}, [](ArgReader& r) -> std::unique_ptr<Op> {
    r.tensor("self");
    return std::make_unique<AddOp>(r.number("other"), r.output_count());
  });
  registry.add(
      {"aten.view.default", "aten.detach.default", "aten.split.Tensor", "aten.squeeze.dim"},
      [](ArgReader& r) -> std::unique_ptr<Op> {
        r.tensor("self");
        return std::make_unique<AddOp>(0, r.output_count());
      });
  registry.add({"aten.dropout.default"}, [](ArgReader& r) -> std::unique_ptr<Op> {
    r.tensor("input");
    r.ignore("p");
    r.ignore("train");
    return std::make_unique<AddOp>(0, 1);
  });
  return registry;
}

Manifest::Node node(const std::string& target, const std::string& from, const std::string& to,
                    Args args = {}) {
  args.emplace(target.find("dropout") == std::string::npos ? "self" : "input", TensorRef{from});
  if (target.find("add") != std::string::npos) args.emplace("other", Dim(1));
  return {to, target, "", args, {to}};
}

Manifest model(std::vector<Manifest::Node> nodes, std::vector<std::string> outputs) {
  Manifest m;
  m.inputs = {{"x", {2}}};
  m.nodes = std::move(nodes);
  m.outputs = std::move(outputs);
  return m;
}

/// First elements of the outputs for x = 0.
std::vector<double> run(const Manifest& manifest) {
  const OpRegistry registry = test_registry();
  const Graph graph = build_graph(manifest, registry);
  graph.verify();
  std::map<const Value*, double> values;
  for (const auto& input : graph.inputs()) values[input.value] = 0;
  for (const auto& n : graph.nodes()) {
    Array in{{1}, {values.at(n->inputs[0])}};
    std::vector<Array> out(n->outputs.size(), Array{{1}, {0}});
    const Array* inputs[] = {&in};
    n->op->evaluate(inputs, out, {});
    for (size_t i = 0; i < out.size(); ++i) values[n->outputs[i]] = out[i].data[0];
  }
  std::vector<double> result;
  for (const Value* value : graph.outputs()) result.push_back(values.at(value));
  return result;
}

std::string error_of(const Manifest& manifest) {
  try {
    const OpRegistry registry = test_registry();
    build_graph(manifest, registry);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool mentions(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return true;
}

constexpr const char* kAdd = "aten.add.Tensor";
constexpr const char* kAddInPlace = "aten.add_.Tensor";
constexpr const char* kView = "aten.view.default";
constexpr const char* kDetach = "aten.detach.default";
constexpr const char* kDropout = "aten.dropout.default";

TEST_CASE("build_graph: later reads of an overwritten tensor see the new value", "[loader]") {
  CHECK(run(model({node(kAdd, "x", "a"), node(kAddInPlace, "a", "b"), node(kAdd, "a", "c"),
                   node(kAdd, "b", "d")},
                  {"a", "b", "c", "d"})) == std::vector<double>{2, 2, 3, 3});
  // Two writes, through both names.
  CHECK(run(model({node(kAdd, "x", "a"), node(kAddInPlace, "a", "b"), node(kAddInPlace, "b", "c"),
                   node(kAddInPlace, "a", "d")},
                  {"a", "b", "c", "d"})) == std::vector<double>{4, 4, 4, 4});
  // A read before the write keeps the old value.
  CHECK(run(model({node(kAdd, "x", "a"), node(kAdd, "a", "c"), node(kAddInPlace, "a", "b")},
                  {"c", "b"})) == std::vector<double>{2, 2});
}

TEST_CASE("build_graph: other names of the same tensor follow a write", "[loader]") {
  for (const char* same : {kDetach, kDropout}) {
    CHECK(run(model({node(kAdd, "x", "a"), node(same, "a", "s"), node(kAddInPlace, "s", "b"),
                     node(kAdd, "a", "c")},
                    {"a", "s", "c"})) == std::vector<double>{2, 2, 3});
  }
  CHECK(run(model({node(kAdd, "x", "a"), node("aten.detach_.default", "a", "s"),
                   node(kAdd, "s", "c"), node(kAdd, "a", "d")},
                  {"c", "d"})) == std::vector<double>{2, 2});
  CHECK(run(model({node(kAdd, "x", "a"), node("aten.squeeze_.dim", "a", "s"),
                   node(kAddInPlace, "s", "b"), node(kAdd, "a", "d")},
                  {"b", "d"})) == std::vector<double>{2, 3});
}

TEST_CASE("build_graph: views that a write would change are refused", "[loader]") {
  const auto nodes = [&](const char* read) {
    return model({node(kAdd, "x", "a"), node(kView, "a", "v"), node(kAddInPlace, "v", "b"),
                  node(kAdd, read, "c")},
                 {"c"});
  };
  CHECK(run(nodes("v")) == std::vector<double>{3});
  CHECK(run(nodes("b")) == std::vector<double>{3});
  mentions(error_of(nodes("a")), "node 'c': 'a' shares memory with");
  mentions(error_of(nodes("a")), "run_decompositions()");
  // A view taken after the write is fine; one taken before is not.
  CHECK(run(model({node(kAdd, "x", "a"), node(kAddInPlace, "a", "b"), node(kView, "a", "v")},
                  {"v"})) == std::vector<double>{2});
  mentions(error_of(model(
               {node(kAdd, "x", "a"), node(kView, "a", "v"), node(kAddInPlace, "a", "b")}, {"v"})),
           "output 'v'");
}

TEST_CASE("build_graph: writing to inputs is noted, to weights refused", "[loader]") {
  const OpRegistry registry = test_registry();
  Manifest m = model({node(kAddInPlace, "x", "a")}, {"a"});
  CHECK(build_graph(m, registry).notes.size() == 1);
  m.tensors.push_back({"w", "w", Constant::from_floats({2}, {1, 2})});
  m.nodes.push_back(node(kView, "w", "v"));
  m.nodes.push_back(node(kAddInPlace, "v", "u"));
  mentions(error_of(m), "node 'u': overwrites 'v', a parameter or buffer");
  mentions(error_of(m), "model.eval()");
}

TEST_CASE("build_graph: training mode is refused with advice", "[loader]") {
  const auto dropout = [](double p, bool train) {
    return model({node(kDropout, "x", "a", {{"p", p}, {"train", train}})}, {"a"});
  };
  mentions(error_of(dropout(0.5, true)), "call model.eval() before torch.export.export()");
  CHECK(error_of(dropout(0.5, false)).empty());
  CHECK(error_of(dropout(0, true)).empty());
  mentions(error_of(model({node("aten.bernoulli.p", "x", "a")}, {"a"})), "model.eval()");
}

TEST_CASE("build_graph: unknown operators name operator and node (trap 20)", "[loader]") {
  Manifest m = model({node("aten.frobnicate_.Tensor", "x", "a")}, {"a"});
  m.nodes[0].module = "block.0";
  CHECK(error_of(m) == "node 'block.0 (a)': unknown operator 'aten.frobnicate_.Tensor'");
  m.nodes[0].target = "nonsense";
  mentions(error_of(m), "unknown operator 'nonsense'");
}

TEST_CASE("build_graph: an operator may be written as others", "[loader]") {
  OpRegistry registry = test_registry();
  registry.add({"aten.twice.default"},
               [](ArgReader& r, Decomposition& steps) -> std::vector<TensorRef> {
                 const Args more{{"other", Dim(1)}};
                 Args first = more, second = more;
                 first["self"] = r.tensor_ref("self");
                 const TensorRef once = steps.add("aten.add.Tensor", first);
                 second["self"] = once;
                 return {steps.add("aten.add.Tensor", second), once};
               });
  Manifest m = model({node("aten.twice.default", "x", "a"), node("aten.twice.default", "a", "b")},
                     {"b", "a.once"});
  for (Manifest::Node& twice : m.nodes) twice.outputs.push_back(twice.name + ".once");
  m.nodes[0].module = "block";
  const Graph graph = build_graph(m, registry);
  graph.verify();
  REQUIRE(graph.nodes().size() == 4);
  CHECK(graph.nodes()[0]->outputs[0] == graph.outputs()[1]);
  CHECK(graph.nodes()[1]->label() == "block (a)");
  CHECK(graph.nodes()[1]->target == "aten.twice.default");
  CHECK(evaluate(graph, {{{2}, {1, 5}}})[0].data == std::vector<double>{5, 9});

  m.nodes[0].outputs.pop_back();
  CHECK_THROWS_WITH(build_graph(m, registry), Catch::Matchers::ContainsSubstring("2 outputs"));
  // Tensors between the steps have names that a file cannot use.
  m.nodes = {node(kAdd, "%a.add", "a")};
  mentions(error_of(m), "reads '%a.add', which nothing defines");
}

TEST_CASE("build_graph: outputs may be inputs, constants, or given twice", "[loader]") {
  const OpRegistry registry = test_registry();
  Manifest m = model({node(kAdd, "x", "a")}, {"x", "a", "a", "w"});
  m.tensors.push_back({"w", "w", Constant::from_doubles({2}, {1, 2})});
  const Graph graph = build_graph(m, registry);
  CHECK(graph.outputs().size() == 4);
  CHECK(graph.outputs()[1] == graph.outputs()[2]);
  CHECK(graph.notes ==
        std::vector<std::string>{"there are weights in float64; Plica computes in float32"});
}

TEST_CASE("build_graph: symbols must be bound and have a range", "[loader]") {
  const OpRegistry registry = test_registry();
  Manifest m = model({node(kAdd, "x", "a")}, {"a"});
  m.inputs[0].dims = {Dim::symbol("n"), 3};
  CHECK(build_graph(m, registry).outputs()[0]->shape == Shape{kDynamic, 3});
  m.symbols["n"] = {5, 4};
  mentions(error_of(m), "range 5 to 4");
  m.symbols["n"] = {1, 4};
  m.symbols["k"] = {1, 4};
  mentions(error_of(m), "'k' is not the size of any input");
}

}  // namespace
}  // namespace plica
