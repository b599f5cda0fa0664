#pragma once

#include <functional>
#include <map>
#include <vector>

#include "engine/graph/graph.h"

namespace plica {

/// Runs `graph` with the operators' float64 reference: the oracle of tests, of `plica verify` and
/// of bug reports. Slow and plain. Values are freed after their last use.
///
/// inputs: in the order of graph.inputs(), shapes bound by bind_symbols(). Returns the outputs in
/// the order of graph.outputs(). `observe`, if given, sees every value as it is computed (inputs
/// included).
std::vector<Array> evaluate(
    const Graph& graph, const std::vector<Array>& inputs,
    const std::function<void(const Value&, const Array&)>& observe = nullptr);

/// Evaluates one node all of whose inputs are constants.
std::vector<Array> evaluate_constant_node(const Node& node);

}  // namespace plica
