#include <map>
#include <vector>

#include "engine/passes/passes.h"

namespace plica {
namespace {

/// The first node that computes each function of a value.
using FirstNodes = std::map<const Value*, std::vector<Node*>>;

/// The node before that computes the same of the same value, or null, if `node` is the first.
Node* find_equal(FirstNodes& first, Node* node) {
  const auto f = node->op->as_pointwise();
  if (!f || node->inputs.size() != 1) return nullptr;
  std::vector<Node*>& others = first[node->inputs[0]];
  for (Node* other : others) {
    if (other->op->as_pointwise() == f) return other;
  }
  others.push_back(node);
  return nullptr;
}

}  // namespace

bool merge_functions(Graph& graph, FoldLog&) {
  FirstNodes first;
  bool changed = false;
  for (size_t i = 0; i < graph.nodes().size();) {
    Node* node = graph.nodes()[i].get();
    const Node* equal = find_equal(first, node);
    if (!equal || node->outputs[0]->is_output) {
      ++i;
      continue;
    }
    graph.replace_uses(node->outputs[0], equal->outputs[0]);
    graph.erase(node);
    changed = true;
  }
  return changed;
}

}  // namespace plica
