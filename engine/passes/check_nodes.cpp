#include "engine/passes/passes.h"
#include "plica/error.h"

namespace plica {

bool check_nodes(Graph& graph, FoldLog&) {
  for (const auto& node : graph.nodes()) {
    try {
      node->op->check(*node);
    } catch (Error& error) {
      error.at_node(node->label());
      throw;
    }
  }
  return false;
}

}  // namespace plica
