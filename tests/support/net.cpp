#include "tests/support/net.h"

#include <catch2/catch_test_macros.hpp>

#include "engine/graph/add_operator.h"
#include "engine/passes/passes.h"

namespace plica::test {

Value* Net::input(std::vector<Dim> dims) {
  for (const Dim& dim : dims) {
    if (!dim.is_number()) graph.symbols[dim.symbol_name()] = {1, 64};
  }
  return graph.add_input("x" + std::to_string(next_++), std::move(dims));
}

Value* Net::constant(const Shape& shape, double lo, double hi) {
  const Array array = random_array(shape, seed_ * 1000 + static_cast<uint32_t>(next_), lo, hi);
  return values(shape, array.data);
}

Value* Net::values(const Shape& shape, std::vector<double> values) {
  return graph.add_constant("c" + std::to_string(next_++),
                            Constant::from_doubles(shape, std::move(values)));
}

Value* Net::op(const std::string& target, const Args& args, const std::string& module) {
  const OpRegistry& registry = OpRegistry::instance();
  INFO(target);
  REQUIRE((registry.find(target) || registry.find_decomposition(target)));
  const std::string name =
      target.substr(5, target.find('.', 5) - 5) + "_" + std::to_string(next_++);
  for (Node* node : add_operator(graph, registry, name, target, args, {name})) {
    node->module = module;
    node->target = target;
  }
  set_shapes(graph);
  return graph.find(name);
}

Value* Net::conv2d(Value* x, int64_t out_channels, int64_t kernel, int64_t padding, bool bias,
                   int64_t groups) {
  Args args{{"input", ref(x)},
            {"weight", ref(constant({out_channels, x->shape[1] / groups, kernel, kernel}))},
            {"padding", std::vector<Dim>{padding, padding}},
            {"groups", Dim(groups)}};
  if (bias) args["bias"] = ref(constant({out_channels}));
  return op("aten.conv2d.default", args, "conv");
}

Value* Net::linear(Value* x, int64_t out_features, bool bias) {
  Args args{{"input", ref(x)}, {"weight", ref(constant({out_features, x->shape.back()}))}};
  if (bias) args["bias"] = ref(constant({out_features}));
  return op("aten.linear.default", args, "linear");
}

Value* Net::batch_norm(Value* x, double scale_lo, const std::string& module) {
  const Shape shape{x->shape[1]};
  return op("aten.batch_norm.default",
            {{"input", ref(x)},
             {"weight", ref(constant(shape, scale_lo, 1.5))},
             {"bias", ref(constant(shape))},
             {"running_mean", ref(constant(shape))},
             {"running_var", ref(constant(shape, 0.5, 2))},
             {"training", false},
             {"momentum", 0.1},
             {"eps", 1e-5},
             {"cudnn_enabled", true}},
            module);
}

Value* Net::unary(const std::string& name, Value* x) {
  return op("aten." + name + ".default", {{"self", ref(x)}});
}

Value* Net::binary(const std::string& name, Value* a, Value* b, const std::string& module) {
  return op("aten." + name + ".Tensor", {{"self", ref(a)}, {"other", ref(b)}}, module);
}

Value* Net::cat(const std::vector<Value*>& values, int64_t axis) {
  std::vector<TensorRef> refs;
  for (const Value* value : values) refs.push_back(ref(value));
  return op("aten.cat.default", {{"tensors", refs}, {"dim", Dim(axis)}});
}

Value* Net::flatten(Value* x) {
  return op("aten.flatten.using_ints",
            {{"self", ref(x)}, {"start_dim", Dim(1)}, {"end_dim", Dim(-1)}});
}

Node* Net::node(std::string_view op_name) const {
  INFO(op_name << " in\n" << graph.print());
  REQUIRE(count(op_name) == 1);
  for (const auto& node : graph.nodes()) {
    if (node->op->name() == op_name) return node.get();
  }
  return nullptr;
}

size_t Net::count(std::string_view op_name) const {
  size_t count = 0;
  for (const auto& node : graph.nodes()) count += node->op->name() == op_name;
  return count;
}

namespace {

std::vector<Array> random_inputs(const Graph& graph, int64_t batch, uint32_t seed) {
  Bindings bindings;
  for (const auto& [name, range] : graph.symbols) bindings[name] = batch++;
  std::vector<Array> inputs;
  for (const GraphInput& input : graph.inputs()) {
    Shape shape;
    for (const Dim& dim : input.dims) shape.push_back(dim.evaluate(bindings));
    inputs.push_back(random_array(shape, seed++, -2, 2));
  }
  return inputs;
}

}  // namespace

Rewritten rewrite_and_compare(const Build& build, const PassOptions& options, uint32_t seed) {
  Net original(seed);
  build(original);
  original.graph.verify();
  Rewritten rewritten{Net(seed), {}};
  build(rewritten.net);
  Graph& graph = rewritten.net.graph;
  FoldLog log;
  log.open(graph);
  for (const Pass& pass : list_passes(options)) {
    INFO("pass " << pass.name << " made\n" << graph.print());
    pass.run(graph, log);
    REQUIRE_NOTHROW(graph.verify());
    REQUIRE_NOTHROW(set_shapes(graph));
  }
  rewritten.report = log.finish();
  INFO("before\n" << original.graph.print() << "after\n" << graph.print());
  REQUIRE(graph.outputs().size() == original.graph.outputs().size());
  for (const int64_t batch : {1, 3}) {
    const std::vector<Array> inputs = random_inputs(graph, batch, seed + 17);
    const std::vector<Array> expected = evaluate(original.graph, inputs);
    const std::vector<Array> found = evaluate(graph, inputs);
    const std::vector<Array> planned = run_planned(graph, inputs);
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK(graph.outputs()[i]->name == original.graph.outputs()[i]->name);
      CHECK(relative_error(found[i], expected[i]) < 1e-12);
      CHECK(relative_error(planned[i], expected[i]) < 5e-6);
    }
  }
  return rewritten;
}

}  // namespace plica::test
