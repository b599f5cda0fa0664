#include "engine/ops/batch_norm.h"
#include "engine/passes/passes.h"

namespace plica {

bool remove_dead(Graph& graph, FoldLog& log) {
  std::vector<std::pair<size_t, std::string>> batch_norms;
  for (const auto& node : graph.nodes()) {
    if (!dynamic_cast<const BatchNorm*>(node->op.get())) continue;
    const Value& output = *node->outputs.at(0);
    batch_norms.emplace_back(log.entry_of(output), output.name);
  }
  const size_t removed = graph.remove_dead();
  for (const auto& [entry, output] : batch_norms) {
    if (graph.find(output)) continue;
    log.settle({entry}, FoldEntry::Outcome::kUnused, "", "no output of the network depends on it");
  }
  return removed > 0;
}

}  // namespace plica
