#include "engine/ops/batch_norm.h"
#include "engine/passes/passes.h"
#include "plica/error.h"

namespace plica {

bool check_batch_norms(Graph& graph, FoldLog&) {
  for (const auto& node : graph.nodes()) {
    const auto* op = dynamic_cast<const BatchNorm*>(node->op.get());
    if (!op) continue;
    try {
      op->check(*node);
    } catch (Error& error) {
      error.at_node(node->label());
      throw;
    }
  }
  return false;
}

}  // namespace plica
