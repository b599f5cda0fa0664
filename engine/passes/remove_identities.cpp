#include <algorithm>
#include <cmath>

#include "engine/passes/passes.h"

namespace plica {
namespace {

bool is_identity(const Pointwise& f) {
  switch (f.kind) {
    case Pointwise::kIdentity:
      return true;
    case Pointwise::kScale:
      return f.a == 1 && f.b == 0;
    case Pointwise::kPow:
      return f.a == 1;
    case Pointwise::kClamp:
      return f.a == -INFINITY && f.b == INFINITY;
    default:
      return false;
  }
}

/// Two tensors with the same number of elements: one dynamic dimension follows from the others.
bool same_shape(const Shape& a, const Shape& b) {
  return a == b && std::count(a.begin(), a.end(), kDynamic) <= 1 &&
         std::find(a.begin(), a.end(), 0) == a.end();
}

/// The first output is input 0 itself.
bool is_identity(Node& node) {
  if (node.outputs.size() != 1) return false;
  const Epilogue* epilogue = node.op->epilogue();
  if (epilogue && !epilogue->empty()) return false;
  if (const auto f = node.op->as_pointwise()) return node.inputs.size() == 1 && is_identity(*f);
  return node.op->keeps_elements() && same_shape(node.inputs[0]->shape, node.outputs[0]->shape);
}

/// x -> node -> y becomes x, which is called y where y is an output of the network.
bool bypass(Graph& graph, Node* node) {
  Value* x = node->inputs[0];
  Value* y = node->outputs[0];
  if (!y->is_output) {
    graph.replace_uses(y, x);
    graph.erase(node);
    return true;
  }
  const bool takes_over =
      x->producer && x->producer->outputs[0] == x && !x->is_output && x->users.size() == 1;
  if (takes_over) graph.take_over_output(x->producer, y);
  return takes_over;
}

}  // namespace

bool remove_identities(Graph& graph, FoldLog&) {
  bool changed = false;
  for (size_t i = 0; i < graph.nodes().size();) {
    Node* node = graph.nodes()[i].get();
    const size_t before = graph.nodes().size();
    if (is_identity(*node)) changed |= bypass(graph, node);
    // Its place is taken by the next node, or by the producer that has taken it over.
    if (graph.nodes().size() == before) ++i;
  }
  return changed;
}

}  // namespace plica
