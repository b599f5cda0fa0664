#include <algorithm>

#include "engine/base/fail.h"
#include "engine/graph/graph.h"

namespace plica {
namespace {

/// Two samples of every symbol, inside its range and different where the range allows it. Sizes
/// that could be mistaken for a real dimension (1, or a channel count) are avoided.
Bindings sample_symbols(const Graph& graph, int which) {
  Bindings bindings;
  int64_t candidate = which == 0 ? 2 : 3;
  for (const auto& [name, range] : graph.symbols) {
    bindings[name] = std::clamp<int64_t>(candidate, range.min, range.max);
    candidate += 2;
  }
  // A range of only {1, 2}: the first sample is 2, so the second must be its minimum.
  if (which == 1) {
    for (auto& [name, value] : bindings) {
      const SymbolRange& range = graph.symbols.at(name);
      if (value == sample_symbols(graph, 0).at(name)) value = range.min;
    }
  }
  return bindings;
}

}  // namespace

std::map<const Value*, Shape> infer_shapes(const Graph& graph, const Bindings& bindings) {
  std::map<const Value*, Shape> shapes;
  for (const GraphInput& input : graph.inputs()) {
    Shape& shape = shapes[input.value];
    for (const Dim& dim : input.dims) shape.push_back(dim.evaluate(bindings));
    element_count(shape);
  }
  for (const auto& value : graph.values()) {
    if (value->is_constant()) shapes[value.get()] = value->constant->shape();
  }
  for (const auto& node : graph.nodes()) {
    try {
      std::vector<Shape> inputs;
      for (const Value* input : node->inputs) inputs.push_back(shapes.at(input));
      std::vector<Shape> outputs = node->op->infer_shapes(inputs, bindings);
      require(outputs.size() == node->outputs.size(), ErrorCode::kInvalid, node->op->name(),
              " has ", outputs.size(), " outputs, the file names ", node->outputs.size());
      for (size_t i = 0; i < outputs.size(); ++i) {
        element_count(outputs[i]);
        shapes[node->outputs[i]] = std::move(outputs[i]);
      }
    } catch (Error& error) {
      error.at_node(node->label());
      throw;
    }
  }
  return shapes;
}

void set_shapes(Graph& graph) {
  const auto first = infer_shapes(graph, sample_symbols(graph, 0));
  const auto second = infer_shapes(graph, sample_symbols(graph, 1));
  for (const auto& value : graph.values()) {
    Shape shape = first.at(value.get());
    const Shape& other = second.at(value.get());
    require(shape.size() == other.size(), ErrorCode::kUnsupported, "the rank of '", value->name,
            "' depends on a size symbol");
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] != other[i]) shape[i] = kDynamic;
    }
    value->shape = std::move(shape);
  }
}

Bindings bind_symbols(const Graph& graph, const std::vector<Shape>& shapes) {
  require(shapes.size() == graph.inputs().size(), ErrorCode::kShape, "expected ",
          graph.inputs().size(), " inputs, found ", shapes.size());
  Bindings bindings;
  const auto expected = [](const GraphInput& input) {
    std::string text = "[";
    for (const Dim& dim : input.dims) text += (text.size() > 1 ? ", " : "") + dim.to_string();
    return text + "]";
  };
  for (size_t i = 0; i < shapes.size(); ++i) {
    const GraphInput& input = graph.inputs()[i];
    const auto mismatch = [&](const std::string& why) {
      fail(ErrorCode::kShape, "input '", input.value->name, "': expected shape ", expected(input),
           ", found ", to_string(shapes[i]), why);
    };
    if (shapes[i].size() != input.dims.size()) mismatch("");
    for (size_t axis = 0; axis < input.dims.size(); ++axis) {
      const std::string symbol = input.dims[axis].symbol_name();
      const int64_t found = shapes[i][axis];
      if (symbol.empty()) continue;
      const auto known = graph.symbols.find(symbol);
      const SymbolRange range = known == graph.symbols.end() ? SymbolRange{} : known->second;
      if (found < range.min || found > range.max) {
        mismatch(concat(" (", symbol, " must be ", range.min, " to ", range.max, ")"));
      }
      const auto [place, fresh] = bindings.emplace(symbol, found);
      if (!fresh && place->second != found) {
        mismatch(concat(" (", symbol, " is ", place->second, " elsewhere)"));
      }
    }
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    const GraphInput& input = graph.inputs()[i];
    for (size_t axis = 0; axis < input.dims.size(); ++axis) {
      require(input.dims[axis].evaluate(bindings) == shapes[i][axis], ErrorCode::kShape, "input '",
              input.value->name, "': expected shape ", expected(input), ", found ", shapes[i]);
    }
  }
  return bindings;
}

}  // namespace plica
