#pragma once

#include <memory>
#include <string>
#include <string_view>
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

/// The operator `target`, of one output, for a node that a pass makes. Its inputs are the tensors
/// of `args` in the order in which the operator reads them, whatever they are called there.
std::unique_ptr<Op> make_operator(std::string_view target, const Args& args);

}  // namespace plica
