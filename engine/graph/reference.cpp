#include "engine/graph/reference.h"

#include <utility>

#include "engine/base/fail.h"

namespace plica {
namespace {

std::vector<Array> evaluate_node(const Node& node, const std::vector<const Array*>& inputs,
                                 const Bindings& bindings) {
  try {
    std::vector<Shape> shapes;
    for (const Array* input : inputs) shapes.push_back(input->shape);
    std::vector<Array> outputs;
    for (Shape& shape : node.op->infer_shapes(shapes, bindings)) {
      std::vector<double> zeros(static_cast<size_t>(element_count(shape)));
      outputs.push_back({std::move(shape), std::move(zeros)});
    }
    node.op->evaluate(inputs, outputs, bindings);
    return outputs;
  } catch (Error& error) {
    error.at_node(node.label());
    throw;
  }
}

}  // namespace

std::vector<Array> evaluate(const Graph& graph, const std::vector<Array>& inputs,
                            const std::function<void(const Value&, const Array&)>& observe) {
  std::vector<Shape> shapes;
  for (const Array& input : inputs) shapes.push_back(input.shape);
  const Bindings bindings = bind_symbols(graph, shapes);

  std::map<const Value*, Array> live;
  std::map<const Value*, size_t> uses_left;
  for (const auto& value : graph.values()) {
    uses_left[value.get()] = value->users.size() + (value->is_output ? 1 : 0);
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    live[graph.inputs()[i].value] = inputs[i];
    if (observe) observe(*graph.inputs()[i].value, inputs[i]);
  }
  const auto fetch = [&](const Value* value) -> const Array* {
    const auto found = live.find(value);
    if (found != live.end()) return &found->second;
    require(value->is_constant(), ErrorCode::kInternal, "'", value->name, "' was not computed");
    return &(live[value] = {value->constant->shape(), value->constant->to_doubles()});
  };
  for (const auto& node : graph.nodes()) {
    std::vector<const Array*> arguments;
    for (const Value* input : node->inputs) arguments.push_back(fetch(input));
    std::vector<Array> results = evaluate_node(*node, arguments, bindings);
    for (size_t i = 0; i < results.size(); ++i) {
      if (observe) observe(*node->outputs[i], results[i]);
      if (uses_left[node->outputs[i]] > 0) live[node->outputs[i]] = std::move(results[i]);
    }
    for (const Value* input : node->inputs) {
      if (--uses_left[input] == 0) live.erase(input);
    }
  }
  std::vector<Array> outputs;
  for (const Value* output : graph.outputs()) outputs.push_back(*fetch(output));
  return outputs;
}

std::vector<Array> evaluate_constant_node(const Node& node) {
  std::vector<Array> arrays;
  for (const Value* input : node.inputs) {
    require(input->is_constant(), ErrorCode::kInternal, "'", input->name, "' is not a constant");
    arrays.push_back({input->constant->shape(), input->constant->to_doubles()});
  }
  std::vector<const Array*> inputs;
  for (const Array& array : arrays) inputs.push_back(&array);
  return evaluate_node(node, inputs, {});
}

}  // namespace plica
