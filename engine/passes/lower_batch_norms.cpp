#include "engine/ops/batch_norm.h"
#include "engine/ops/channel_affine.h"
#include "engine/passes/passes.h"

namespace plica {

// y = batch_norm(x, weight, bias, mean, var)   ->   y = channel_affine(x)
bool lower_batch_norms(Graph& graph, FoldLog& log) {
  bool changed = false;
  for (const auto& node : graph.nodes()) {
    const auto* op = dynamic_cast<const BatchNorm*>(node->op.get());
    if (!op) continue;
    const size_t entry = log.entry_of(*node->outputs[0]);
    if (op->uses_batch_statistics()) {
      log.settle({entry}, FoldEntry::Outcome::kKernel, "",
                 "it has no running statistics: it normalises with those of each batch");
      continue;
    }
    if (!graph.keep_first_output(node.get())) continue;
    auto affine = std::make_unique<ChannelAffine>(op->affine(*node));
    affine->entries.push_back(entry);
    log.set_scale(entry, affine->affine());
    node->op = std::move(affine);
    while (node->inputs.size() > 1) graph.remove_node_input(node.get(), node->inputs.size() - 1);
    changed = true;
  }
  return changed;
}

}  // namespace plica
