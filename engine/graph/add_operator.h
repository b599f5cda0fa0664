#pragma once

#include <string>
#include <vector>

#include "engine/graph/args.h"
#include "engine/graph/graph.h"

namespace plica {

/// Adds the operator `target`, whose `args` name tensors of the graph, with the outputs
/// `output_names`: one node called `name`, or, where the registry has a decomposition, those of its
/// steps. Returns them in order. Throws kUnsupported for an unknown operator or argument, and what
/// the operator's factory throws.
std::vector<Node*> add_operator(Graph& graph, const OpRegistry& registry, const std::string& name,
                                const std::string& target, const Args& args,
                                const std::vector<std::string>& output_names);

}  // namespace plica
